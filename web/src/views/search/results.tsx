import { useEffect, useState } from "preact/hooks";
import { post } from "../../api/client";
import type { Deletion, SearchHit, SearchResult, SearchStage } from "../../api/types";
import { useRequest } from "../../api/use_request";
import { Empty, ErrorNotice, Loading } from "../../components/notice";
import { href } from "../../shell/route";
import { number, plural } from "../../text/format";
import { DeletionNotice } from "./deletion_notice";
import { Facets } from "./facets";
import { PostCard } from "./post_card";

interface ResultsProps {
  query: string;
  times: number; // makes the same query be searched again
  stage: SearchStage;
  onQuery: (query: string) => void;
}

const kPageSize = 10;
const kLastOffset = 1000; // the API's limit

function Summary({ result, query }: { result: SearchResult; query: string }) {
  return (
    <p class="summary" role="status">
      <strong>{plural(result.estimated_total, "post")}</strong> for <q>{query}</q> in {number(result.took_ms, 1)} ms.
      {result.corrected_query && result.corrected_query !== query && (
        <> Did you mean <a href={href("search", { q: result.corrected_query })}>{result.corrected_query}</a>?</>
      )}
    </p>
  );
}

export function Results({ query, times, stage, onQuery }: ResultsProps) {
  const { data: result, error, loading, run } = useRequest<SearchResult>();
  const [hits, setHits] = useState<SearchHit[]>([]);
  const [deletion, setDeletion] = useState<Deletion>();
  const more = useRequest<SearchResult>();

  const search = async () => {
    setDeletion(undefined);
    more.clear();
    const found = await run((signal) => post("v1/search", { query, limit: kPageSize, offset: 0, stage, facets: true }, signal));
    if (found) setHits(found.hits);
  };
  useEffect(() => void search(), [query, times, stage]);

  const loadMore = async () => {
    const next = await more.run((signal) => post("v1/search", { query, limit: kPageSize, offset: hits.length, stage }, signal));
    if (!next) return;
    setHits((before) => {
      const known = new Set(before.map((hit) => hit.post.id));
      return [...before, ...next.hits.filter((hit) => !known.has(hit.post.id))];
    });
  };
  const onDeleted = (done: Deletion) => {
    setDeletion(done);
    setHits((before) => before.filter((hit) => hit.post.id !== done.id));
  };

  if (error) return <ErrorNotice error={error} retry={() => void search()} />;
  if (!result) return <Loading what="posts" />;
  const exhausted = more.data?.hits.length === 0 || hits.length >= result.estimated_total || hits.length >= kLastOffset;
  return (
    <div class="results" aria-busy={loading}>
      <div class="hits">
        <Summary result={result} query={query} />
        {deletion && <DeletionNotice deletion={deletion} />}
        {hits.length === 0 && !loading && !deletion && (
          <Empty title="No post matches"><p>Try fewer words, or take away a term such as <code>from:</code> or <code>since:</code>.</p></Empty>
        )}
        {hits.map((hit) => <PostCard key={hit.post.id} hit={hit} onDeleted={onDeleted} />)}
        {more.error && <ErrorNotice error={more.error} retry={() => void loadMore()} />}
        {!exhausted && hits.length > 0 && (
          <button type="button" class="button" disabled={more.loading} onClick={() => void loadMore()}>
            {more.loading ? "Loading…" : "More posts"}
          </button>
        )}
      </div>
      <Facets facets={result.facets ?? []} newest={result.facets_complete === false ? result.facet_posts : undefined}
              query={query} onQuery={onQuery} />
    </div>
  );
}
