import { useState } from "preact/hooks";
import { get } from "../../api/client";
import type { AuditPage, AuditRecord } from "../../api/types";
import { useLoad } from "../../api/use_request";
import { Empty, ErrorNotice, Loading } from "../../components/notice";
import { moment } from "../../text/format";
import { ChainStatus } from "./chain_status";

const kPageSize = 50;
const kSummaryLength = 120;
const load = (path: string, signal: AbortSignal) => get<AuditPage>(path, signal);

// The record's first words: its text values, one after the other.
function summary(body: unknown): string {
  const values = typeof body === "object" && body !== null ? Object.entries(body) : [["", body]];
  const text = values.map(([key, value]) => `${key ? `${key}: ` : ""}${typeof value === "string" ? value : JSON.stringify(value)}`).join(" · ");
  return text.length > kSummaryLength ? `${text.slice(0, kSummaryLength)}…` : text;
}

function Row({ record }: { record: AuditRecord }) {
  return (
    <tr>
      <td class="numeric">{record.sequence}</td>
      <td><time dateTime={record.time}>{moment(record.time)}</time></td>
      <td><code class="kind">{record.kind}</code></td>
      <td class="record-body">
        <details><summary>{summary(record.body)}</summary><pre tabIndex={0}>{JSON.stringify(record.body, null, 2)}</pre></details>
      </td>
      <td><code title={record.hash}>{record.hash.slice(0, 10)}</code></td>
    </tr>
  );
}

export function AuditRecords() {
  const [after, setAfter] = useState<number[]>([0]); // the first sequence of every page walked so far
  const from = after[after.length - 1]!;
  const { data: page, error, loading, reload } = useLoad(`v1/audit?after=${from}&limit=${kPageSize}`, load);

  if (error) return <ErrorNotice error={error} retry={() => void reload()} />;
  if (!page) return <Loading what="the audit log" />;
  const lastSequence = page.records[page.records.length - 1]?.sequence;
  return (
    <section aria-label="Audit log" aria-busy={loading}>
      <ChainStatus page={page} />
      {page.records.length === 0
        ? <Empty title={from === 0 ? "Nothing is recorded yet" : "No later records"} />
        : (
          <div class="table-scroll" tabIndex={0} role="region" aria-label="Audit records">
            <table class="records">
              <thead><tr><th scope="col">No.</th><th scope="col">Time</th><th scope="col">What</th><th scope="col">Record</th><th scope="col">Hash</th></tr></thead>
              <tbody>{page.records.map((record) => <Row key={record.sequence} record={record} />)}</tbody>
            </table>
          </div>
        )}
      <div class="pager">
        <button type="button" class="button" disabled={after.length < 2} onClick={() => setAfter(after.slice(0, -1))}>Earlier</button>
        <button type="button" class="button" disabled={loading || page.records.length < kPageSize || lastSequence === undefined}
                onClick={() => setAfter([...after, lastSequence!])}>Later</button>
        <button type="button" class="button quiet" onClick={() => void reload()}>Check again</button>
      </div>
    </section>
  );
}
