import { useLayoutEffect, useRef } from "preact/hooks";
import type { WriteJob } from "../../api/types";

export function JobProgress({ job }: { job: WriteJob }) {
  const fraction = Math.min(1, Math.max(0, job.progress ?? 0));
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => box.current?.scrollIntoView({ block: "nearest" }), []);
  return (
    <div class="job" role="status" ref={box}>
      <label for="job-progress">Writing: {job.message || "working"}</label>
      <progress id="job-progress" max={1} value={fraction} />
      <span class="job-percent">{Math.round(fraction * 100)} %</span>
    </div>
  );
}
