import type { Campaign } from "../../api/types";
import { Icon } from "../../components/icon";
import { href } from "../../shell/route";
import { number } from "../../text/format";

export function Audiences({ campaign }: { campaign: Campaign }) {
  const found = campaign.audiences ?? [];
  const refused = campaign.refused_audiences ?? [];
  return (
    <section aria-labelledby="audiences">
      <h2 id="audiences">Audiences</h2>
      <p class="lead">Groups of at least 50 authors, known only by what they write about. Never a person.</p>
      <ul class="audience-list">
        {found.map((audience) => (
          <li key={audience.id} class="panel audience">
            <h3>{audience.name}</h3>
            <p class="audience-size"><Icon name="people" /> {number(audience.authors)} authors · {number(audience.posts)} posts</p>
            {audience.reason && <p>{audience.reason}</p>}
            {audience.query && <a href={href("search", { q: audience.query })}><code>{audience.query}</code></a>}
          </li>
        ))}
        {refused.map((audience) => (
          <li key={audience.name} class="panel audience refused">
            <h3>{audience.name}</h3>
            <p class="audience-size"><Icon name="lock" /> refused</p>
            <p>{audience.reason}</p>
          </li>
        ))}
      </ul>
      {found.length + refused.length === 0 && <p>No audience was found.</p>}
    </section>
  );
}
