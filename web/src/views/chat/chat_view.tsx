import { useEffect, useRef, useState } from "preact/hooks";
import { TextField } from "../../components/field";
import { Empty, ErrorNotice } from "../../components/notice";
import { useSession } from "../../shell/session";
import { number, plural } from "../../text/format";
import { type Settings, type Turn, useConversation } from "./conversation";

function Figures({ turn }: { turn: Turn }) {
  const { figures, end, model } = turn;
  const parts = [model];
  if (figures) {
    parts.push(`${figures.promptTokens} + ${plural(figures.tokens, "token")}`, `first after ${number(figures.firstMs / 1000)} s`);
    if (figures.tokensPerSecond > 0) parts.push(`${number(figures.tokensPerSecond, 1)} tokens/s`);
  }
  if (end === "length") parts.push("cut off at the longest answer");
  if (end === "stopped by you") parts.push(end);
  return <p class="turn-figures">{parts.join(" · ")}</p>;
}

function TurnView({ turn, writing }: { turn: Turn; writing: boolean }) {
  const mine = turn.role === "user";
  return (
    <article class={`turn ${turn.role}`} aria-label={mine ? "You" : "Model"} aria-busy={writing}>
      <p class="turn-text">{turn.content}{writing && <span class="caret" aria-hidden="true" />}</p>
      {!mine && !writing && <Figures turn={turn} />}
    </article>
  );
}

interface SettingsProps {
  models: string[];
  settings: Settings;
  change: (part: Partial<Settings>) => void;
}

function SettingsForm({ models, settings, change }: SettingsProps) {
  return (
    <details class="panel chat-settings">
      <summary>Model {settings.model}, temperature {settings.temperature}</summary>
      <div class="field-row">
        <div class="field">
          <label for="chat-model">Model</label>
          <select id="chat-model" value={settings.model} onChange={(event) => change({ model: event.currentTarget.value })}>
            {models.map((model) => <option key={model} value={model}>{model}</option>)}
          </select>
        </div>
        <div class="field">
          <label for="chat-temperature">Temperature</label>
          <input id="chat-temperature" type="number" min="0" max="2" step="0.1" value={settings.temperature}
            onInput={(event) => change({ temperature: Number(event.currentTarget.value) })} />
        </div>
        <div class="field">
          <label for="chat-length">Longest answer, tokens</label>
          <input id="chat-length" type="number" min="1" max="4096" value={settings.maxTokens}
            onInput={(event) => change({ maxTokens: Number(event.currentTarget.value) })} />
        </div>
      </div>
      <TextField label="System message" rows={2} value={settings.system} onValue={(system) => change({ system })} placeholder="Answer in one sentence." />
    </details>
  );
}

export function ChatView() {
  const { info } = useSession();
  const models = [...new Set([...(info.writer ? [info.writer] : []), ...info.models])];
  const [settings, setSettings] = useState<Settings>({ model: models[0] ?? "", system: "", temperature: 0.8, maxTokens: 256 });
  const { turns, error, writing, ask, stop, clear } = useConversation();
  const [question, setQuestion] = useState("");
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => end.current?.scrollIntoView({ block: "nearest" }), [turns]);

  const send = () => {
    if (!question.trim() || writing) return;
    setQuestion("");
    void ask(settings, [...turns, { role: "user", content: question.trim() }]);
  };
  const askAgain = () => void ask(settings, turns[turns.length - 1]?.role === "user" ? turns : turns.slice(0, -1));
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };

  return (
    <section class="view">
      <header class="view-head">
        <h1 tabIndex={-1}>Chat</h1>
        {turns.length > 0 && <button type="button" class="button quiet" onClick={clear}>New conversation</button>}
      </header>
      {models.length === 0
        ? <Empty title="No model yet"><p>Train one with <code>starling train</code> or bring one with <code>starling import</code>, then start the server again.</p></Empty>
        : (
          <>
            <SettingsForm models={models} settings={settings} change={(part) => setSettings({ ...settings, ...part })} />
            {turns.length === 0 && !error && <Empty title="Say something"><p>The conversation stays in this tab and ends with it.</p></Empty>}
            <div class="turns">
              {turns.map((turn, i) => <TurnView key={i} turn={turn} writing={writing && i === turns.length - 1} />)}
            </div>
            {error && <ErrorNotice error={error} retry={askAgain} />}
            <div ref={end} />
            <form class="chat-form" onSubmit={(event) => { event.preventDefault(); send(); }}>
              <textarea rows={2} aria-label="Message" placeholder="Message; Enter sends, Shift+Enter begins a line" value={question}
                onInput={(event) => setQuestion(event.currentTarget.value)} onKeyDown={onKeyDown} />
              {writing
                ? <button type="button" class="button" onClick={stop}>Stop</button>
                : <button type="submit" class="button primary" disabled={!question.trim()}>Send</button>}
            </form>
          </>
        )}
    </section>
  );
}
