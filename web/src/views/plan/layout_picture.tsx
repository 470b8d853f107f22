import type { Plan } from "../../api/plan";
import { number } from "../../text/format";

const kCell = 13;
const kMostColumns = 32;
const kMostRows = 16;

function details({ layout }: Plan): string {
  return [
    layout.sequence_parallel && layout.tensor_parallel > 1 && "sequence parallel",
    layout.virtual_stages > 1 && `${layout.virtual_stages} virtual stages a GPU`,
    layout.expert_parallel > 1 && `experts over ${layout.expert_parallel} replicas`,
    `ZeRO ${layout.zero_stage}`,
    `micro-batch ${layout.micro_batch_sequences}`,
    `recompute ${layout.recompute}`,
  ].filter(Boolean).join(" · ");
}

// One replica as a grid: a column is a pipeline stage, a row a tensor-parallel rank.
export function LayoutPicture({ plan }: { plan: Plan }) {
  const { tensor_parallel: tensor, pipeline_parallel: pipeline, data_parallel: data } = plan.layout;
  const columns = Math.min(pipeline, kMostColumns);
  const rows = Math.min(tensor, kMostRows);
  const { gpus_used: used, gpus_spare: spares } = plan.layout;
  return (
    <section class="panel layout" aria-labelledby="layout">
      <h2 id="layout">Layout</h2>
      <p class="layout-factors">
        <span><strong>{tensor}</strong> tensor</span> × <span><strong>{pipeline}</strong> pipeline</span> × <span><strong>{number(data)}</strong> data</span>
      </p>
      <div class="layout-picture">
        <svg viewBox={`0 0 ${columns * kCell} ${rows * kCell}`} width={columns * kCell * 1.6} role="img"
             aria-label={`One replica: ${pipeline} pipeline stages of ${tensor} GPUs`}>
          {Array.from({ length: columns * rows }, (_, i) => {
            const stage = Math.floor(i / rows);
            return <rect key={i} x={stage * kCell + 1} y={(i % rows) * kCell + 1} width={kCell - 2} height={kCell - 2} rx={2.5} class={`stage-${stage % 2}`} />;
          })}
        </svg>
        <p>× {number(data)} replicas = {number(used)} GPUs{spares > 0 && `, ${number(spares)} spare`}</p>
      </div>
      <p class="hint">{details(plan)}</p>
    </section>
  );
}
