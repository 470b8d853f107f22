import { TextField } from "../../components/field";
import { AudienceEditor } from "./audience_editor";
import type { BriefForm } from "./brief_form";
import { FactEditor } from "./fact_editor";

interface BriefFieldsProps {
  form: BriefForm;
  onForm: (form: BriefForm) => void;
}

type TextKey = { [Key in keyof BriefForm]: BriefForm[Key] extends string ? Key : never }[keyof BriefForm];

export function BriefFields({ form, onForm }: BriefFieldsProps) {
  const change = (part: Partial<BriefForm>) => onForm({ ...form, ...part });
  const bind = (key: TextKey) => ({ value: form[key], onValue: (value: string) => change({ [key]: value }) });
  return (
    <div class="brief-fields">
      <div class="field-row">
        <TextField label="Advertiser" required {...bind("advertiser")} />
        <TextField label="Paid for by" required {...bind("payer")} />
        <TextField label="Product" required {...bind("product")} />
        <TextField label="Landing page" type="url" required placeholder="https://" {...bind("landing_page")} />
      </div>
      <FactEditor facts={form.facts} onFacts={(facts) => change({ facts })} />
      <AudienceEditor find={form.find_audiences} audiences={form.audiences}
                      onFind={(find_audiences) => change({ find_audiences })} onAudiences={(audiences) => change({ audiences })} />
      <div class="field-row">
        <TextField label="Tone" {...bind("tone")} />
        <TextField label="Language" placeholder="en" {...bind("language")} />
      </div>
      <div class="field-row">
        <TextField label="Phrases it must have" hint="One a line." rows={2} {...bind("must")} />
        <TextField label="Phrases it must not have" hint="One a line." rows={2} {...bind("must_not")} />
      </div>
      <div class="field-row">
        <TextField label="Budget" required {...bind("budget")} />
        <TextField label="Most for one impression" {...bind("max_bid")} />
        <TextField label="Currency" required placeholder="USD" {...bind("currency")} />
        <TextField label="Impressions a viewer a day" {...bind("frequency_cap")} />
      </div>
      <div class="field-row">
        <TextField label="First day" placeholder="2026-01-31" {...bind("start")} />
        <TextField label="Last day" placeholder="2026-12-31" {...bind("end")} />
        <TextField label="Time zone" placeholder="UTC" {...bind("time_zone")} />
      </div>
      <div class="field-row">
        <TextField label="Most characters" placeholder="240" {...bind("max_graphemes")} />
        <TextField label="Variants for each audience" placeholder="3" {...bind("variants_per_audience")} />
      </div>
    </div>
  );
}
