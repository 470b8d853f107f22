import { useCallback, useEffect, useRef, useState } from "preact/hooks";

export interface RequestState<T> {
  data?: T;
  error?: Error;
  loading: boolean;
}

// Runs one request at a time: a new call aborts the one before it, so an old answer never overwrites a new one.
// The last data stays while the next request runs, and beside the error when that fails.
export function useRequest<T>() {
  const [state, setState] = useState<RequestState<T>>({ loading: false });
  const running = useRef<AbortController>();

  const run = useCallback(async (call: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    setState((before) => ({ data: before.data, loading: true }));
    try {
      const data = await call(controller.signal);
      if (running.current !== controller) return undefined;
      setState({ data, loading: false });
      return data;
    } catch (error) {
      if (!controller.signal.aborted) setState((before) => ({ data: before.data, error: error as Error, loading: false }));
      return undefined;
    }
  }, []);

  const clear = useCallback(() => {
    running.current?.abort();
    running.current = undefined;
    setState({ loading: false });
  }, []);
  useEffect(() => () => running.current?.abort(), []);
  return { ...state, run, clear };
}

// Loads once, and again whenever `path` changes or `reload` is called.
export function useLoad<T>(path: string, load: (path: string, signal: AbortSignal) => Promise<T>) {
  const { run, ...state } = useRequest<T>();
  const reload = useCallback(() => run((signal) => load(path, signal)), [path, load, run]);
  useEffect(() => void reload(), [reload]);
  return { ...state, reload };
}
