import type { Plan } from "../../api/plan";
import { Stat } from "../../components/stat";
import { bytes, compact, number, percent } from "../../text/format";
import { AffordabilityTable } from "./affordability";
import { LayoutPicture } from "./layout_picture";
import { PartsBar } from "./parts_bar";

// {"weights_bytes": 1, "total_bytes": 1} -> [{name: "weights", value: 1}]
const parts = (values: Record<string, number>) =>
  Object.entries(values).filter(([name]) => !name.startsWith("total_")).map(([name, value]) => ({ name: name.replace(/_(bytes|s)$/, ""), value }));

const dollars = (low: number, high: number) => (low === high ? `$${compact(low)}` : `$${compact(low)}–${compact(high)}`);

const seconds = (value: number) => (value >= 1 ? `${value.toFixed(2)} s` : `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms`);

function PlanStats({ plan }: { plan: Plan }) {
  return (
    <dl class="stats">
      <Stat name="Training takes" value={number(plan.days, 1)} unit="days" note={`without interruptions; expect ${number(plan.expected_interruptions, 0)} of them`} />
      <Stat name="FLOP utilisation" value={percent(plan.model_flops_utilization)} note="model FLOPs of the GPUs' peak" />
      <Stat name="Speed" value={compact(plan.tokens_per_s)} unit="tokens/s" note={`${number(plan.steps, 0)} steps of ${compact(plan.request.batch_tokens)} tokens`} />
      <Stat name="Power" value={number(plan.megawatts, 1)} unit="MW" note={`${compact(plan.energy_mwh)} MWh, $${compact(plan.electricity_usd)}`} />
      <Stat name="Cards cost" value={plan.purchase_high_usd > 0 ? dollars(plan.purchase_low_usd, plan.purchase_high_usd) : "unknown"} note={plan.gpu.title} />
      <Stat name="Or rent them for" value={plan.rental_high_usd > 0 ? dollars(plan.rental_low_usd, plan.rental_high_usd) : "unknown"} note="for the days it takes" />
    </dl>
  );
}

export function PlanResult({ plan }: { plan: Plan }) {
  return (
    <div class="plan-result">
      <p class="summary" role="status">
        <strong>{compact(plan.model.parameters)} parameters</strong> on {number(plan.request.gpus)} × {plan.gpu.title}, {compact(plan.request.tokens)} tokens, {plan.model.train_flops_per_token.toExponential(2)} FLOPs a token.
      </p>
      <PlanStats plan={plan} />
      <div class="plan-pair">
        <LayoutPicture plan={plan} />
        <div class="panel plan-bars">
          <PartsBar title="Memory of the fullest GPU" parts={parts(plan.memory_per_gpu)} limit={{ name: "free", value: plan.gpu.memory_bytes }} show={bytes} />
          <PartsBar title="One step" parts={parts(plan.step)} show={seconds} />
        </div>
      </div>
      <AffordabilityTable rows={plan.affordability} gpus={plan.request.gpus} />
    </div>
  );
}
