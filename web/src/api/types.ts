// The bodies of docs/formats/http-api.md.

export interface Post {
  id: string;
  author: string;
  time: string;
  text: string;
  language?: string;
  community?: string;
  reply_to?: string;
  quote_of?: string;
  hashtags?: string[];
  mentions?: string[];
  urls?: string[];
  likes?: number;
  reposts?: number;
  replies?: number;
}

export interface SearchHit {
  post: Post;
  score: number;
  lexical_score: number;
  vector_score: number;
  snippet_html: string;
}

export interface Facet {
  field: string;
  counts: [string, number][];
}

export interface SearchResult {
  hits: SearchHit[];
  estimated_total: number;
  facets?: Facet[];
  facet_posts?: number;
  facets_complete?: boolean;
  corrected_query?: string;
  took_ms: number;
}

export type SearchStage = "lexical" | "feedback" | "vector" | "fused" | "ranked";

export interface AskAnswer {
  answered: boolean;
  sentences: { text: string; post_ids: string[] }[];
  sources: SearchHit[];
  message?: string;
}

export interface Deletion {
  deleted: string;
  id: string;
  checkpoints?: string[];
}

export interface Claim {
  text: string;
  begin: number; // byte offsets in headline + "\n" + body
  end: number;
  kind: string;
  supported: boolean;
  fact_id?: string;
  reason?: string;
}

export interface Variant {
  id: string;
  audience_id?: string;
  headline: string;
  body: string;
  label?: string;
  graphemes?: number;
  state: "accepted" | "rejected" | "approved";
  score?: number;
  reasons?: string[];
  claims?: Claim[];
}

export interface Audience {
  id: string;
  name: string;
  query?: string;
  authors: number;
  posts: number;
  reason?: string;
}

export interface Campaign {
  id: string;
  brief: Brief;
  state: "draft" | "approved" | "paused" | "ended";
  audiences?: Audience[];
  refused_audiences?: { name: string; reason: string }[];
  variants?: Variant[];
  spent_micros?: number;
}

export interface WriteJob {
  state: "running" | "done" | "failed";
  progress?: number;
  message?: string;
  campaign?: Campaign;
}

export interface LibraryEntry {
  campaign_id: string;
  variant_id: string;
  advertiser: string;
  payer: string;
  headline: string;
  body: string;
  label: string;
  audience?: string;
  first_shown?: string;
  last_shown?: string;
  impressions: number;
  clicks: number;
  spent_micros: number;
  currency: string;
  claims?: Claim[];
}

export interface AuditRecord {
  sequence: number;
  time: string;
  kind: string;
  body: unknown;
  hash: string;
}

export interface AuditPage {
  records: AuditRecord[];
  verified: boolean;
  break: unknown;
}

export interface TrainingPoint {
  step: number;
  tokens?: number | null;
  loss?: number | null;
  validation_bits_per_byte?: number | null;
  tokens_per_s?: number | null;
  fraction_of_peak?: number | null;
  learning_rate?: number | null;
  grad_norm?: number | null;
}

export interface TrainingRun {
  name: string;
  state: "running" | "done" | "stopped";
  points: TrainingPoint[];
  card_markdown?: string;
}

export interface Info {
  version: string;
  workspace: string;
  posts: number;
  indexed_posts: number;
  models: string[];
  writer?: string;
  role?: string; // of the key that asked
  problems?: string[]; // what is missing in the workspace
}

// docs/formats/brief.md, as JSON. Keys that the form does not show are kept as they are.
export interface Brief {
  [key: string]: unknown;
}
