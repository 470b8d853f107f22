import { Icon } from "../../components/icon";
import type { AudienceForm } from "./brief_form";

interface AudienceEditorProps {
  find: boolean;
  audiences: AudienceForm[];
  onFind: (find: boolean) => void;
  onAudiences: (audiences: AudienceForm[]) => void;
}

export function AudienceEditor({ find, audiences, onFind, onAudiences }: AudienceEditorProps) {
  const change = (row: number, key: keyof AudienceForm, value: string) =>
    onAudiences(audiences.map((audience, i) => (i === row ? { ...audience, [key]: value } : audience)));
  return (
    <fieldset class="rows">
      <legend>Audiences</legend>
      <label class="check">
        <input type="checkbox" checked={find} onChange={(event) => onFind(event.currentTarget.checked)} /> Find them in the posts
      </label>
      {audiences.map((audience, row) => (
        <div class="row" key={row} role="group" aria-label={`Audience ${row + 1}`}>
          <label class="cell"><span>Name</span>
            <input value={audience.name} placeholder="home baristas" onInput={(event) => change(row, "name", event.currentTarget.value)} />
          </label>
          <label class="cell wide"><span>Query</span>
            <input value={audience.query} placeholder="#coffee OR espresso" onInput={(event) => change(row, "query", event.currentTarget.value)} />
          </label>
          <button type="button" class="button quiet small" aria-label={`Remove audience ${row + 1}`} onClick={() => onAudiences(audiences.filter((_, i) => i !== row))}>
            <Icon name="cross" />
          </button>
        </div>
      ))}
      <button type="button" class="button small" onClick={() => onAudiences([...audiences, { name: "", query: "" }])}><Icon name="plus" /> Name an audience</button>
    </fieldset>
  );
}
