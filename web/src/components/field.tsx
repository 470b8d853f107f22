import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface Control {
  id: string;
  "aria-describedby"?: string;
  "aria-invalid"?: boolean;
}

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  error?: string;
  class?: string;
  children: (control: Control) => ComponentChildren;
}

// A label, its control, and the hint and error that describe it. `children` spreads the given attributes on the control.
export function Field({ label, hint, error, class: extra = "", children }: FieldProps) {
  const id = useId();
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  return (
    <div class={`field ${extra}`}>
      <label for={id}>{label}</label>
      {children({ id, "aria-describedby": described || undefined, "aria-invalid": error ? true : undefined })}
      {hint && <p class="hint" id={`${id}-hint`}>{hint}</p>}
      {error && <p class="field-error" id={`${id}-error`} role="alert">{error}</p>}
    </div>
  );
}

interface TextFieldProps extends Omit<FieldProps, "children"> {
  value: string;
  onValue: (value: string) => void;
  rows?: number; // more than one line
  type?: string;
  required?: boolean;
  placeholder?: string;
  list?: string;
}

export function TextField({ value, onValue, rows, type = "text", required, placeholder, list, ...field }: TextFieldProps) {
  const onInput = (event: { currentTarget: { value: string } }) => onValue(event.currentTarget.value);
  return (
    <Field {...field}>
      {(control) => rows
        ? <textarea {...control} rows={rows} value={value} required={required} placeholder={placeholder} onInput={onInput} />
        : <input {...control} type={type} value={value} required={required} placeholder={placeholder} list={list} onInput={onInput} />}
    </Field>
  );
}
