// The body of POST /v1/plan: the JSON of `starling plan --json`. Units are in the names.

export interface Gpu {
  name: string;
  title: string;
  memory_bytes: number;
  peak_bf16_flops: number;
  price_low_usd: number;
  price_high_usd: number;
  price_source?: string;
  price_date?: string;
}

export interface Layout {
  tensor_parallel: number;
  sequence_parallel: boolean;
  pipeline_parallel: number;
  virtual_stages: number;
  data_parallel: number;
  zero_stage: number;
  micro_batch: number;
  recompute: string;
}

export interface Affordability {
  gpu: Gpu;
  total_low_usd: number;
  total_high_usd: number;
  verdict: string;
  gpus_for_99m_usd: number;
}

export interface Plan {
  request: { model: string; gpus: number; gpu: string; tokens: number; sequence_tokens: number; batch_tokens: number };
  gpu: Gpu;
  parameters: number;
  train_flops_per_token: number;
  layout: Layout;
  gpus_used: number;
  memory: Record<string, number>; // bytes of the fullest GPU, by use
  step: Record<string, number>; // seconds of one step, by cause
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
