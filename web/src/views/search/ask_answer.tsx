import { useEffect, useMemo, useState } from "preact/hooks";
import { post } from "../../api/client";
import type { AskAnswer, Deletion } from "../../api/types";
import { useRequest } from "../../api/use_request";
import { Empty, ErrorNotice, Loading } from "../../components/notice";
import { DeletionNotice } from "./deletion_notice";
import { PostCard } from "./post_card";

function jumpTo(id: string) {
  const card = document.getElementById(`post-${id}`);
  card?.scrollIntoView({ block: "center" });
  card?.focus({ preventScroll: true });
}

function Citation({ id, mark }: { id: string; mark?: number }) {
  return (
    <button type="button" class="citation" onClick={() => jumpTo(id)} aria-label={`Source ${mark ?? id}: go to the post`} title={`post ${id}`}>
      {mark ?? id}
    </button>
  );
}

// `times` makes the same question be asked again.
export function AskView({ question, times }: { question: string; times: number }) {
  const { data: answer, error, loading, run } = useRequest<AskAnswer>();
  const [deletion, setDeletion] = useState<Deletion>();
  const ask = () => run((signal) => post("v1/ask", { question }, signal));
  useEffect(() => {
    setDeletion(undefined);
    void ask();
  }, [question, times]);
  const marks = useMemo(() => new Map(answer?.sources.map((hit, i) => [hit.post.id, i + 1])), [answer]);

  if (error) return <ErrorNotice error={error} retry={() => void ask()} />;
  if (loading || !answer) return <Loading what="an answer from the posts" />;
  if (!answer.answered) {
    return (
      <>
        {deletion && <DeletionNotice deletion={deletion} />}
        <Empty title="No answer in the posts"><p>Nothing live in this workspace supports an answer, so none is made up.</p></Empty>
      </>
    );
  }
  return (
    <div class="answer-page">
      {deletion && <DeletionNotice deletion={deletion} />}
      <section class="answer" aria-label="Answer" role="status">
        <p>
          {answer.sentences.map((sentence, i) => (
            <span key={i}>{sentence.text} {sentence.post_ids.map((id) => <Citation key={id} id={id} mark={marks.get(id)} />)} </span>
          ))}
        </p>
      </section>
      <h2>The posts that support it</h2>
      {answer.sources.map((hit, i) => (
        <PostCard key={hit.post.id} hit={hit} mark={i + 1} onDeleted={(done) => { setDeletion(done); void ask(); }} />
      ))}
    </div>
  );
}
