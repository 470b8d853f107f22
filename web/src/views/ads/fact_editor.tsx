import { Icon } from "../../components/icon";
import { type FactForm, emptyFact } from "./brief_form";

interface FactEditorProps {
  facts: FactForm[];
  onFacts: (facts: FactForm[]) => void;
}

const kColumns: { key: keyof FactForm; name: string; placeholder: string }[] = [
  { key: "id", name: "Id", placeholder: "price" },
  { key: "name", name: "What it is of", placeholder: "price of a bag" },
  { key: "value", name: "Value", placeholder: "12.90" },
  { key: "unit", name: "Unit", placeholder: "USD" },
  { key: "valid_from", name: "Valid from", placeholder: "2026-01-01" },
  { key: "valid_to", name: "Valid to", placeholder: "2026-12-31" },
];

export function FactEditor({ facts, onFacts }: FactEditorProps) {
  const change = (row: number, key: keyof FactForm, value: string) =>
    onFacts(facts.map((fact, i) => (i === row ? { ...fact, [key]: value } : fact)));
  return (
    <fieldset class="rows">
      <legend>Facts</legend>
      <p class="hint">What the advertiser attests. The copy may state nothing else. <code>false</code> attests that the product has it not.</p>
      {facts.map((fact, row) => (
        <div class="row fact-row" key={row} role="group" aria-label={`Fact ${row + 1}`}>
          {kColumns.map(({ key, name, placeholder }) => (
            <label key={key} class={`cell cell-${key}`}>
              <span>{name}</span>
              <input value={fact[key]} placeholder={placeholder} onInput={(event) => change(row, key, event.currentTarget.value)} />
            </label>
          ))}
          <button type="button" class="button quiet small" aria-label={`Remove fact ${row + 1}`} onClick={() => onFacts(facts.filter((_, i) => i !== row))}>
            <Icon name="cross" />
          </button>
        </div>
      ))}
      <button type="button" class="button small" onClick={() => onFacts([...facts, emptyFact()])}><Icon name="plus" /> Add a fact</button>
    </fieldset>
  );
}
