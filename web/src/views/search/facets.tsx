import type { Facet } from "../../api/types";
import { compact } from "../../text/format";
import { facetTerm, hasTerm, toggleTerm } from "./query_terms";

interface FacetsProps {
  facets: Facet[];
  newest?: number; // how many posts are counted, where that is not every match
  query: string;
  onQuery: (query: string) => void;
}

const kNames: Record<string, string> = {
  author: "Authors", community: "Communities", language: "Languages", hashtag: "Hashtags", day: "Days",
};
const kShown = 6;

function FacetGroup({ facet, query, onQuery }: { facet: Facet } & Pick<FacetsProps, "query" | "onQuery">) {
  const most = Math.max(1, ...facet.counts.map(([, count]) => count));
  return (
    <section class="facet">
      <h3>{kNames[facet.field] ?? facet.field}</h3>
      <ul>
        {facet.counts.slice(0, kShown).map(([value, count]) => {
          const term = facetTerm(facet.field, value);
          return (
            <li key={value}>
              <button type="button" disabled={!term} aria-pressed={term ? hasTerm(query, term) : false}
                      onClick={() => term && onQuery(toggleTerm(query, term))}>
                <span class="facet-value">{facet.field === "hashtag" ? `#${value}` : value}</span>
                <span class="facet-count">{compact(count)}</span>
                <span class="facet-bar" aria-hidden="true" style={{ width: `${(count / most) * 100}%` }} />
              </button>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

export function Facets({ facets, newest, query, onQuery }: FacetsProps) {
  const filled = facets.filter((facet) => facet.counts.length > 0);
  if (filled.length === 0) return null;
  return (
    <aside class="facets" aria-label="Narrow the results">
      {newest !== undefined && <p class="facet-note">Counted in the {compact(newest)} that came last</p>}
      {filled.map((facet) => <FacetGroup key={facet.field} facet={facet} query={query} onQuery={onQuery} />)}
    </aside>
  );
}
