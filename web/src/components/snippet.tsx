import { snippetRuns } from "../text/snippet";

export function Snippet({ html }: { html: string }) {
  return <>{snippetRuns(html).map((run, i) => (run.marked ? <mark key={i}>{run.text}</mark> : <span key={i}>{run.text}</span>))}</>;
}
