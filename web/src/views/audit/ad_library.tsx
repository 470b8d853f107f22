import { useState } from "preact/hooks";
import { get } from "../../api/client";
import type { LibraryEntry } from "../../api/types";
import { useLoad } from "../../api/use_request";
import { TextField } from "../../components/field";
import { Empty, ErrorNotice, Loading } from "../../components/notice";
import { day, money, number, percent } from "../../text/format";
import { ClaimList } from "../ads/claim_list";
import { ClaimedCopy } from "../ads/claimed_copy";

interface Library {
  entries: LibraryEntry[];
}

const load = (path: string, signal: AbortSignal) => get<Library>(path, signal);

function Entry({ entry }: { entry: LibraryEntry }) {
  const rate = entry.impressions > 0 ? percent(entry.clicks / entry.impressions) : "–";
  return (
    <article class="panel library-entry">
      <p class="ad-label">{entry.label}</p>
      <ClaimedCopy headline={entry.headline} body={entry.body} claims={entry.claims ?? []} />
      <dl class="entry-facts">
        <div><dt>Advertiser</dt><dd>{entry.advertiser}</dd></div>
        <div><dt>Paid for by</dt><dd>{entry.payer}</dd></div>
        {entry.audience && <div><dt>Audience</dt><dd>{entry.audience}</dd></div>}
        <div><dt>Shown</dt><dd>{entry.first_shown ? `${day(entry.first_shown)} – ${day(entry.last_shown ?? entry.first_shown)}` : "not yet"}</dd></div>
        <div><dt>Impressions</dt><dd>{number(entry.impressions)}</dd></div>
        <div><dt>Clicks</dt><dd>{number(entry.clicks)} ({rate})</dd></div>
        <div><dt>Spent</dt><dd>{money(entry.spent_micros, entry.currency)}</dd></div>
      </dl>
      {entry.claims && entry.claims.length > 0 && <details><summary>{entry.claims.length} claims and their facts</summary><ClaimList claims={entry.claims} /></details>}
    </article>
  );
}

export function AdLibrary() {
  const [query, setQuery] = useState("");
  const [advertiser, setAdvertiser] = useState("");
  const [asked, setAsked] = useState({ query: "", advertiser: "" });
  const { data, error, loading, reload } = useLoad(`v1/ads/library?${new URLSearchParams(asked)}`, load);
  const submit = (event: Event) => {
    event.preventDefault();
    setAsked({ query: query.trim(), advertiser: advertiser.trim() });
  };
  return (
    <section aria-label="Ad library" aria-busy={loading}>
      <form class="filter-row" onSubmit={submit}>
        <TextField label="Words in the ad" type="search" value={query} onValue={setQuery} />
        <TextField label="Advertiser" type="search" value={advertiser} onValue={setAdvertiser} />
        <button type="submit" class="button">Filter</button>
      </form>
      {error && <ErrorNotice error={error} retry={() => void reload()} />}
      {!data && !error && <Loading what="the ad library" />}
      {data?.entries.length === 0 && (
        <Empty title="No ads here"><p>{asked.query || asked.advertiser ? "No entry matches the filter." : "Approved ads appear here, with who paid and what they claimed."}</p></Empty>
      )}
      {data && data.entries.length > 0 && <div class="entries">{data.entries.map((entry) => <Entry key={entry.variant_id} entry={entry} />)}</div>}
    </section>
  );
}
