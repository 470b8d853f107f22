// A conversation with a model: its messages, the answer that is being written, and how fast it came.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { streamEvents } from "../../api/event_stream";
import { announce } from "../../shell/announce";

export interface Figures {
  promptTokens: number;
  tokens: number;
  firstMs: number; // from the question to the first piece of text
  tokensPerSecond: number; // after the first
}

export interface Turn {
  role: "user" | "assistant";
  content: string;
  model?: string;
  figures?: Figures;
  end?: "stop" | "length" | "stopped by you";
}

export interface Settings {
  model: string;
  system: string;
  temperature: number;
  maxTokens: number;
}

interface Chunk {
  choices: { delta: { content?: string }; finish_reason: "stop" | "length" | null }[];
  usage?: { prompt_tokens: number; completion_tokens: number } | null;
}

function body({ model, system, temperature, maxTokens }: Settings, turns: Turn[]) {
  const said = turns.map(({ role, content }) => ({ role, content }));
  return {
    model, temperature, max_tokens: maxTokens, stream: true, stream_options: { include_usage: true },
    messages: system.trim() ? [{ role: "system", content: system }, ...said] : said,
  };
}

export function useConversation() {
  const [turns, setTurns] = useState<Turn[]>([]);
  const [error, setError] = useState<Error>();
  const running = useRef<AbortController>();
  const [writing, setWriting] = useState(false);

  const ask = useCallback(async (settings: Settings, before: Turn[]) => {
    const controller = new AbortController();
    running.current = controller;
    setError(undefined);
    setWriting(true);
    const asked = performance.now();
    let first = 0;
    let last = 0;
    const answer: Turn = { role: "assistant", content: "", model: settings.model };
    const show = () => { if (running.current === controller) setTurns([...before, { ...answer }]); };
    show();
    try {
      await streamEvents<Chunk>("v1/chat/completions", body(settings, before), controller.signal, ({ choices, usage }) => {
        const [choice] = choices;
        if (choice?.delta.content) {
          last = performance.now();
          first ||= last;
          answer.content += choice.delta.content;
        }
        if (choice?.finish_reason) answer.end = choice.finish_reason;
        if (usage) {
          const seconds = (last - first) / 1000;
          answer.figures = {
            promptTokens: usage.prompt_tokens, tokens: usage.completion_tokens, firstMs: first ? first - asked : 0,
            tokensPerSecond: seconds > 0 ? (usage.completion_tokens - 1) / seconds : 0,
          };
        }
        show();
      });
      announce(`Answer: ${answer.content}`);
    } catch (problem) {
      if (controller.signal.aborted) answer.end = "stopped by you";
      else if (running.current === controller) setError(problem as Error);
      if (running.current === controller) setTurns(answer.content ? [...before, answer] : before);
    }
    if (running.current === controller) setWriting(false);
  }, []);

  const stop = useCallback(() => running.current?.abort(), []);
  const clear = useCallback(() => {
    running.current?.abort();
    running.current = undefined;
    setTurns([]);
    setError(undefined);
    setWriting(false);
  }, []);
  useEffect(() => () => running.current?.abort(), []);
  return { turns, error, writing, ask, stop, clear };
}
