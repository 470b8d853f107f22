import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiError, get, post } from "../../api/client";
import type { Brief, Campaign, WriteJob } from "../../api/types";

const kPollMs = 1000;
const kJobName = "starling.job"; // the job that runs, so that another view or a reload does not lose its progress

interface JobState {
  job?: WriteJob;
  error?: Error;
}

// The server knows no such job, or does not show it; after any other error it may still be at work.
const isLost = (error: unknown) => error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429;

// Writing takes minutes on a CPU: the server answers with a job, this asks for its progress until it ends.
export function useWriteJob(onDone: (campaign: Campaign) => void) {
  const [state, setState] = useState<JobState>({});
  const timer = useRef<ReturnType<typeof setTimeout>>();
  const alive = useRef(true);
  const sent = useRef<Brief>();

  const fail = (error: unknown) => {
    if (isLost(error)) sessionStorage.removeItem(kJobName);
    if (alive.current) setState({ error: error as Error });
  };

  const poll = useCallback(async (id: string) => {
    try {
      const job = await get<WriteJob>(`v1/ads/jobs/${encodeURIComponent(id)}`);
      if (!alive.current) return;
      setState({ job });
      if (job.state === "running") {
        timer.current = setTimeout(() => void poll(id), kPollMs);
        return;
      }
      sessionStorage.removeItem(kJobName);
      if (job.campaign) onDone(job.campaign);
    } catch (error) {
      fail(error);
    }
  }, [onDone]);

  const write = useCallback(async (brief: Brief) => {
    sent.current = brief;
    sessionStorage.removeItem(kJobName);
    setState({ job: { state: "running", progress: 0, message: "sending the brief" } });
    try {
      const { job } = await post<{ job: string }>("v1/ads/write", { brief });
      sessionStorage.setItem(kJobName, job);
      await poll(job);
    } catch (error) {
      fail(error);
    }
  }, [poll]);

  // Asks for the job that may still run, else writes the last brief again.
  const retry = () => {
    const running = sessionStorage.getItem(kJobName);
    if (running) void poll(running);
    else if (sent.current) void write(sent.current);
  };
  const mayRetry = sent.current !== undefined || sessionStorage.getItem(kJobName) !== null;

  useEffect(() => {
    const running = sessionStorage.getItem(kJobName);
    if (running) void poll(running);
    return () => {
      alive.current = false;
      clearTimeout(timer.current);
    };
  }, []);

  return { ...state, running: state.job?.state === "running", write, retry: mayRetry ? retry : undefined };
}
