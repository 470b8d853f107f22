import { parse, stringify } from "smol-toml";
import type { Brief } from "../../api/types";

// docs/formats/brief.md as the form holds it: everything is the text that stands in a field.
export interface FactForm {
  id: string;
  name: string;
  value: string;
  unit: string;
  valid_from: string;
  valid_to: string;
}

export interface AudienceForm {
  name: string;
  query: string;
}

const kTexts = ["advertiser", "payer", "product", "landing_page", "tone", "language", "currency", "budget", "max_bid", "time_zone", "start", "end"] as const;
const kIntegers = ["max_graphemes", "variants_per_audience", "frequency_cap"] as const;
const kFactKeys = ["id", "name", "value", "unit", "valid_from", "valid_to"] as const;

type Texts = Record<(typeof kTexts)[number] | (typeof kIntegers)[number], string>;

export interface BriefForm extends Texts {
  find_audiences: boolean;
  facts: FactForm[];
  audiences: AudienceForm[];
  must: string; // one phrase a line
  must_not: string;
}

const kDefaultGraphemes = 240;

const text = (value: unknown) => (value === undefined || value === null ? "" : String(value));
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const table = (value: unknown) => (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
const lines = (phrases: string) => phrases.split("\n").map((phrase) => phrase.trim()).filter(Boolean);

export const emptyFact = (): FactForm => ({ id: "", name: "", value: "", unit: "", valid_from: "", valid_to: "" });

export function formOf(brief: Brief): BriefForm {
  const form = Object.fromEntries([...kTexts, ...kIntegers].map((key) => [key, text(brief[key])])) as Texts;
  return {
    ...form,
    find_audiences: brief.find_audiences === true,
    facts: list(brief.facts).map(table).map((fact) => Object.fromEntries(kFactKeys.map((key) => [key, text(fact[key])])) as unknown as FactForm),
    audiences: list(brief.audiences).map(table).map((audience) => ({ name: text(audience.name), query: text(audience.query) })),
    must: list(brief.must).map(text).join("\n"),
    must_not: list(brief.must_not).map(text).join("\n"),
  };
}

// Keys left empty are left out: the server has the defaults, and says which required one is missing.
const filled = (entries: [string, unknown][]) => Object.fromEntries(entries.filter(([, value]) => value !== ""));

const whole = (value: string): string | number => (/^\d+$/.test(value.trim()) ? Number(value) : value.trim());

export function briefOf(form: BriefForm): Brief {
  const facts = form.facts.map((fact) => filled(kFactKeys.map((key) => [key, fact[key].trim()]))).filter((fact) => Object.keys(fact).length > 0);
  const audiences = form.audiences.filter((audience) => audience.name || audience.query).map((audience) => ({ ...audience }));
  const brief: Brief = filled([
    ...kTexts.map((key): [string, unknown] => [key, form[key].trim()]),
    ...kIntegers.map((key): [string, unknown] => [key, whole(form[key])]),
  ]);
  if (lines(form.must).length > 0) brief.must = lines(form.must);
  if (lines(form.must_not).length > 0) brief.must_not = lines(form.must_not);
  brief.find_audiences = form.find_audiences;
  if (audiences.length > 0) brief.audiences = audiences;
  if (facts.length > 0) brief.facts = facts;
  return brief;
}

// Throws with the line of the first mistake. A TOML date becomes the text that JSON holds.
export function briefFromToml(toml: string): Brief {
  return JSON.parse(JSON.stringify(parse(toml))) as Brief;
}

export const briefToToml = (brief: Brief) => stringify(brief);

export const maxGraphemes = (brief: Brief) => Number(brief.max_graphemes) || kDefaultGraphemes;
export const budgetMicros = (brief: Brief) => Math.round(Number(brief.budget ?? 0) * 1e6);

// A whole brief to start from. Harbour Roasters is made up.
export const kExampleBrief: Brief = {
  advertiser: "Harbour Roasters",
  payer: "Harbour Roasters Ltd",
  product: "Harbour coffee subscription",
  landing_page: "https://harbour.example/coffee",
  tone: "friendly and plain",
  currency: "USD",
  budget: "25.00",
  max_bid: "0.02",
  time_zone: "UTC",
  max_graphemes: 240,
  variants_per_audience: 2,
  find_audiences: true,
  must_not: ["best"],
  facts: [
    { id: "price", name: "price of a bag", value: "12.90", unit: "USD" },
    { id: "weight", name: "weight of a bag", value: "500", unit: "g" },
    { id: "roasted", name: "roasted", value: "to order" },
  ],
};
