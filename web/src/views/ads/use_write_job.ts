import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { get, post } from "../../api/client";
import type { Brief, Campaign, WriteJob } from "../../api/types";

const kPollMs = 1000;

interface JobState {
  job?: WriteJob;
  error?: Error;
}

// Writing takes minutes on a CPU: the server answers with a job, this asks for its progress until it ends.
export function useWriteJob(onDone: (campaign: Campaign) => void) {
  const [state, setState] = useState<JobState>({});
  const timer = useRef<ReturnType<typeof setTimeout>>();
  const alive = useRef(true);
  useEffect(() => () => {
    alive.current = false;
    clearTimeout(timer.current);
  }, []);

  const poll = useCallback(async (id: string) => {
    try {
      const job = await get<WriteJob>(`v1/ads/jobs/${encodeURIComponent(id)}`);
      if (!alive.current) return;
      setState({ job });
      if (job.state === "running") timer.current = setTimeout(() => void poll(id), kPollMs);
      else if (job.state === "done" && job.campaign) onDone(job.campaign);
    } catch (error) {
      if (alive.current) setState({ error: error as Error });
    }
  }, [onDone]);

  const write = useCallback(async (brief: Brief) => {
    setState({ job: { state: "running", progress: 0, message: "sending the brief" } });
    try {
      const { job } = await post<{ job: string }>("v1/ads/write", { brief });
      await poll(job);
    } catch (error) {
      if (alive.current) setState({ error: error as Error });
    }
  }, [poll]);

  return { ...state, running: state.job?.state === "running", write };
}
