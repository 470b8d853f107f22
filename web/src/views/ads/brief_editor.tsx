import { useState } from "preact/hooks";
import type { Brief } from "../../api/types";
import { Field } from "../../components/field";
import { Icon } from "../../components/icon";
import { Segmented } from "../../components/segmented";
import { BriefFields } from "./brief_fields";
import { briefFromToml, briefOf, briefToToml, formOf } from "./brief_form";

interface BriefEditorProps {
  brief: Brief;
  busy: boolean;
  onWrite: (brief: Brief) => void;
}

type Tab = "form" | "toml";

// One brief in two forms. Leaving the text for the form needs text that can be read; the mistake is named with its line.
export function BriefEditor({ brief, busy, onWrite }: BriefEditorProps) {
  const [tab, setTab] = useState<Tab>("form");
  const [form, setForm] = useState(() => formOf(brief));
  const [toml, setToml] = useState("");
  const [mistake, setMistake] = useState<Error>(); // a new one each time, so that the choice of tab is drawn again

  const read = (): Brief | undefined => {
    if (tab === "form") return briefOf(form);
    try {
      return briefFromToml(toml);
    } catch (error) {
      setMistake(error as Error);
      return undefined;
    }
  };
  const show = (next: Tab) => {
    const current = read();
    if (!current || next === tab) return;
    setMistake(undefined);
    if (next === "toml") setToml(briefToToml(current)); else setForm(formOf(current));
    setTab(next);
  };
  const submit = (event: Event) => {
    event.preventDefault();
    const current = read();
    if (current) onWrite(current);
  };

  return (
    <form class="brief panel" onSubmit={submit}>
      <header class="brief-head">
        <h2>Brief</h2>
        <Segmented label="Edit as" options={[{ value: "form" as Tab, name: "Form" }, { value: "toml" as Tab, name: "TOML" }]} value={tab} onValue={show} />
      </header>
      {tab === "form"
        ? <BriefFields form={form} onForm={setForm} />
        : (
          <Field label="Brief as TOML" hint={<>The same text as for <code>starling ads write brief.toml</code>.</>} error={mistake?.message}>
            {(control) => <textarea {...control} class="code" rows={26} spellcheck={false} value={toml}
                                    onInput={(event) => { setToml(event.currentTarget.value); setMistake(undefined); }} />}
          </Field>
        )}
      <button type="submit" class="button primary" disabled={busy}><Icon name="megaphone" /> {busy ? "Writing…" : "Write the ad"}</button>
    </form>
  );
}
