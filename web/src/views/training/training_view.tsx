import { useEffect, useState } from "preact/hooks";
import { get } from "../../api/client";
import type { TrainingRun } from "../../api/types";
import { useLoad } from "../../api/use_request";
import { Badge } from "../../components/badge";
import { Markdown } from "../../components/markdown";
import { Empty, ErrorNotice, Loading } from "../../components/notice";
import { RunCharts, RunStats } from "./run_figures";

interface Runs {
  runs: TrainingRun[];
}

const load = (path: string, signal: AbortSignal) => get<Runs>(path, signal);
const kRefreshMs = 5000;

function RunPicker({ runs, current, onPick }: { runs: TrainingRun[]; current: string; onPick: (name: string) => void }) {
  return (
    <div class="run-picker">
      <label for="run">Run</label>
      <select id="run" value={current} onChange={(event) => onPick(event.currentTarget.value)}>
        {runs.map((run) => <option key={run.name} value={run.name}>{run.name}</option>)}
      </select>
    </div>
  );
}

function Run({ run }: { run: TrainingRun }) {
  if (run.points.length === 0) return <Empty title="No steps yet"><p>The first numbers appear after the first logged step.</p></Empty>;
  return (
    <>
      <RunStats points={run.points} />
      <RunCharts run={run} />
      {run.card_markdown && <section class="panel" aria-labelledby="card"><h2 id="card">Model card</h2><Markdown text={run.card_markdown} /></section>}
    </>
  );
}

export function TrainingView() {
  const { data, error, loading, reload } = useLoad("v1/training", load);
  const [name, setName] = useState("");
  const runs = data?.runs ?? [];
  const run = runs.find((candidate) => candidate.name === name) ?? runs[runs.length - 1];
  const live = run?.state === "running";
  const refreshes = live || (data !== undefined && !run); // the first run may begin at any time
  useEffect(() => {
    if (!refreshes || loading) return; // asking again would end an answer that is under way
    const timer = setTimeout(() => void reload(), kRefreshMs);
    return () => clearTimeout(timer);
  }, [refreshes, loading, reload]);

  return (
    <section class="view">
      <header class="view-head">
        <h1 tabIndex={-1}>Training</h1>
        {run && <Badge tone={live ? "note" : run.state === "done" ? "good" : "plain"}>{live ? "running, refreshed every 5 s" : run.state}</Badge>}
        {run && runs.length > 1 && <RunPicker runs={runs} current={run.name} onPick={setName} />}
      </header>
      {error && <ErrorNotice error={error} retry={() => void reload()} />}
      {!data && !error && <Loading what="the runs" />}
      {data && !run && <Empty title="No model is trained yet"><p>Run <code>starling train</code> in this workspace; its curves appear here while it runs.</p></Empty>}
      {run && <Run run={run} key={run.name} />}
    </section>
  );
}
