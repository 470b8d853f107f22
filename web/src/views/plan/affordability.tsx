import type { Affordability } from "../../api/plan";
import { Badge, type Tone } from "../../components/badge";
import { compact, number } from "../../text/format";

const tone = (verdict: string): Tone => (verdict === "yes" ? "good" : verdict === "no" ? "bad" : "note");

const range = (low: number, high: number) => (low === high ? `$${compact(low)}` : `$${compact(low)} – $${compact(high)}`);

export function AffordabilityTable({ rows, gpus }: { rows: Affordability[]; gpus: number }) {
  return (
    <section class="panel" aria-labelledby="afford">
      <h2 id="afford">What tens of millions of dollars buy</h2>
      <p class="lead">{number(gpus)} GPUs for $10 M to $99 M, the cards alone: no servers, network, building or power.</p>
      <div class="table-scroll" tabIndex={0} role="region" aria-label="GPUs and their price">
        <table>
          <thead>
            <tr><th scope="col">GPU</th><th scope="col">One card</th><th scope="col">{number(gpus)} cards</th><th scope="col">Enough?</th><th scope="col">Cards for $99 M</th><th scope="col">Price from</th></tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.gpu}>
                <th scope="row">{row.title}</th>
                <td>{range(row.price_low_usd, row.price_high_usd)}</td>
                <td>{range(row.total_low_usd, row.total_high_usd)}</td>
                <td><Badge tone={tone(row.tens_of_millions_buy_it)}>{row.tens_of_millions_buy_it}</Badge></td>
                <td class="numeric">{number(row.gpus_for_99m_usd)}</td>
                <td class="source">{[row.price_source, row.price_date].filter(Boolean).join(", ")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
