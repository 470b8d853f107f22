import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { SearchStage } from "../../api/types";
import { Icon } from "../../components/icon";
import { Done, Empty } from "../../components/notice";
import { Segmented } from "../../components/segmented";
import { type Route, go, href } from "../../shell/route";
import { may, useSession } from "../../shell/session";
import { plural } from "../../text/format";
import { AskView } from "./ask_answer";
import { NewPost } from "./new_post";
import { QueryHelp } from "./query_help";
import { fieldTerm } from "./query_terms";
import { Results } from "./results";

type Mode = "search" | "ask";

const kModes = [{ value: "search" as Mode, name: "Search" }, { value: "ask" as Mode, name: "Ask" }];
const kStages: { value: SearchStage; name: string; title: string }[] = [
  { value: "ranked", name: "Ranked", title: "Words and meaning fused, then recency and engagement" },
  { value: "fused", name: "Fused", title: "Words and meaning fused" },
  { value: "vector", name: "Meaning", title: "The model's vectors alone" },
  { value: "lexical", name: "Words", title: "BM25 alone, without the model" },
];

// "/" anywhere outside a text field moves to the search field.
function useSlash(focus: () => void) {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
      if (target.closest("input:not([type=radio]):not([type=checkbox]), textarea, select, dialog")) return;
      event.preventDefault();
      focus();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

function Welcome({ mode }: { mode: Mode }) {
  const { info } = useSession();
  if (mode === "ask") {
    return <Empty title="Ask the posts"><p>Every sentence of an answer names the posts that support it. Where the posts hold no answer, the page says so.</p></Empty>;
  }
  return (
    <Empty title={`${plural(info.indexed_posts, "post")} to search`}>
      <p>Press <kbd>/</kbd> from anywhere on this page to begin.</p>
    </Empty>
  );
}

export function SearchView({ route }: { route: Route }) {
  const { info } = useSession();
  const query = route.params.get("q") ?? "";
  const mode: Mode = route.params.get("mode") === "ask" ? "ask" : "search";
  const [text, setText] = useState(query);
  const [times, setTimes] = useState(0); // how often one asked again for what is shown
  const [stage, setStage] = useState<SearchStage>("ranked");
  const [writing, setWriting] = useState(false);
  const [postedBy, setPostedBy] = useState("");
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => setText(query), [query]);
  useSlash(() => { field.current?.focus(); field.current?.select(); });

  const show = (q: string, nextMode = mode) => go("search", { mode: nextMode === "ask" ? "ask" : undefined, q: q.trim() });
  const submit = (event: Event) => {
    event.preventDefault();
    if (text.trim() === query) setTimes(times + 1); else show(text);
  };
  const addTerm = (term: string) => {
    setText(`${text} ${term}`.trim());
    field.current?.focus();
  };

  return (
    <section class="view search-view">
      <header class="view-head">
        <h1 tabIndex={-1}>{mode === "ask" ? "Ask the posts" : "Search the posts"}</h1>
        {may(info, "posts") && (
          <button type="button" class="button" onClick={() => setWriting(true)}><Icon name="plus" /> New post</button>
        )}
      </header>
      <form class="search-form" role="search" onSubmit={submit}>
        <Segmented label="Search or ask" options={kModes} value={mode} onValue={(next) => show(text, next)} />
        <div class="search-field">
          <Icon name={mode === "ask" ? "reply" : "search"} />
          <input ref={field} type="search" aria-label={mode === "ask" ? "Question" : "Query"} aria-keyshortcuts="/" value={text} maxLength={2000}
                 placeholder={mode === "ask" ? "What do people say about …?" : "words, \"a phrase\", from:alice, #tag, -without"}
                 autocomplete="off" onInput={(event) => setText(event.currentTarget.value)} />
          <kbd aria-hidden="true">/</kbd>
        </div>
        <button type="submit" class="button primary">{mode === "ask" ? "Ask" : "Search"}</button>
      </form>
      {mode === "search" && (
        <div class="search-options">
          <Segmented label="Ranking" options={kStages} value={stage} onValue={setStage} />
          <QueryHelp onTerm={addTerm} />
        </div>
      )}
      {postedBy && <Done>Saved. Search shows it at once: <a href={href("search", { q: fieldTerm("from", postedBy) })}>posts by {postedBy}</a>.</Done>}
      {!query && <Welcome mode={mode} />}
      {query && mode === "search" && <Results query={query} times={times} stage={stage} onQuery={show} />}
      {query && mode === "ask" && <AskView question={query} times={times} />}
      {writing && <NewPost onClose={(author) => { setWriting(false); setPostedBy(author ?? ""); }} />}
    </section>
  );
}
