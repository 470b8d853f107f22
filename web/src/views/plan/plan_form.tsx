import { useState } from "preact/hooks";
import type { PlanQuestion } from "../../api/plan";
import { Field, TextField } from "../../components/field";

interface PlanFormProps {
  question: PlanQuestion;
  gpus: { name: string; title: string }[]; // of the catalogue
  busy: boolean;
  onAsk: (question: PlanQuestion) => void;
}

export function PlanForm({ question, gpus, busy, onAsk }: PlanFormProps) {
  const [model, setModel] = useState(question.model);
  const [count, setCount] = useState(String(question.gpus));
  const [gpu, setGpu] = useState(question.gpu);
  const [tokens, setTokens] = useState(question.tokens);
  const wrongCount = /^\d{1,7}$/.test(count.trim()) && Number(count) > 0 ? "" : "A whole number of GPUs, such as 10000.";
  const submit = (event: Event) => {
    event.preventDefault();
    if (!wrongCount) onAsk({ model: model.trim(), gpus: Number(count), gpu, tokens: tokens.trim() });
  };
  return (
    <form class="plan-form panel" onSubmit={submit}>
      <TextField label="Model" hint="7b, 13b, 34b, 70b, 175b, 8x7b, 8x22b or grok-1" value={model} onValue={setModel} required />
      <TextField label="GPUs" error={wrongCount} value={count} onValue={setCount} required />
      <Field label="GPU type">
        {(control) => (
          <select {...control} value={gpu} onChange={(event) => setGpu(event.currentTarget.value)}>
            {gpus.map((option) => <option key={option.name} value={option.name}>{option.title}</option>)}
          </select>
        )}
      </Field>
      <TextField label="Tokens" hint="2T, 300B, 1.5M" value={tokens} onValue={setTokens} required />
      <button type="submit" class="button primary" disabled={busy}>{busy ? "Planning…" : "Plan it"}</button>
    </form>
  );
}
