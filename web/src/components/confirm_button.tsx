import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon, type IconName } from "./icon";

interface ConfirmButtonProps {
  icon: IconName;
  name: string;
  question: string;
  onConfirm: () => void;
}

// Asks once more, in place, before something that cannot be undone. Escape goes back, and so does the keyboard's focus.
export function ConfirmButton({ icon, name, question, onConfirm }: ConfirmButtonProps) {
  const [asking, setAsking] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const yes = useRef<HTMLButtonElement>(null);
  const asked = useRef(false);
  useLayoutEffect(() => {
    if (asking) yes.current?.focus();
    else if (asked.current) button.current?.focus();
    asked.current = asking;
  }, [asking]);
  if (!asking) {
    return <button type="button" class="button quiet small" ref={button} onClick={() => setAsking(true)}><Icon name={icon} /> {name}</button>;
  }
  return (
    <span class="confirm" role="group" aria-label={question} onKeyDown={(event) => { if (event.key === "Escape") setAsking(false); }}>
      <span>{question}</span>
      <button type="button" class="button danger small" ref={yes} onClick={() => { setAsking(false); onConfirm(); }}>Yes, {name.toLowerCase()}</button>
      <button type="button" class="button quiet small" onClick={() => setAsking(false)}>Cancel</button>
    </span>
  );
}
