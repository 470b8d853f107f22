// The body of POST /v1/plan: the JSON of `starling plan --json`. Units are in the names.

export interface Gpu {
  name: string;
  title: string;
  memory_bytes: number;
}

export interface Layout {
  tensor_parallel: number;
  sequence_parallel: boolean;
  pipeline_parallel: number;
  virtual_stages: number;
  data_parallel: number;
  expert_parallel: number;
  zero_stage: number;
  micro_batch_sequences: number;
  recompute: string;
  gpus_used: number;
  gpus_spare: number;
}

export interface Affordability {
  gpu: string; // the catalogue's name
  title: string;
  price_low_usd: number;
  price_high_usd: number;
  price_source: string;
  price_date: string;
  total_low_usd: number;
  total_high_usd: number;
  tens_of_millions_buy_it: string; // "yes", "only at the low price", "no"
  gpus_for_99m_usd: number;
}

export interface Plan {
  request: { model: string; gpus: number; gpu: string; tokens: number; sequence_tokens: number; batch_tokens: number };
  model: { name: string; parameters: number; train_flops_per_token: number };
  gpu: Gpu;
  layout: Layout;
  memory_per_gpu: Record<string, number>; // weights_bytes, ...; total_bytes
  step: Record<string, number>; // compute_s, ...; total_s
  model_flops_utilization: number;
  tokens_per_s: number;
  steps: number;
  days: number;
  expected_interruptions: number;
  megawatts: number;
  energy_mwh: number;
  electricity_usd: number;
  purchase_low_usd: number;
  purchase_high_usd: number;
  rental_low_usd: number;
  rental_high_usd: number;
  affordability: Affordability[];
}

export interface PlanQuestion {
  model: string;
  gpus: number;
  gpu: string;
  tokens: string;
}
