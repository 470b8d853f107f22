#include "store/audit_log.h"

#include <fmt/format.h>
#include <soci/soci.h>

#include "core/error.h"
#include "core/hash.h"
#include "core/time.h"
#include "store/control_db.h"

namespace starling {
namespace {

constexpr const char* kTable =
    "create table if not exists audit (sequence integer primary key, time_s integer not null, kind text not null,"
    " body text not null, hash text not null)";

std::string chain_hash(const std::string& previous, const AuditRecord& record) {
  return sha256_hex(
      fmt::format("{}\n{}\n{}\n{}\n{}", previous, record.sequence, record.time_s, record.kind, record.body));
}

// Calls visit for each record after `after`, in order, until it returns false.
template <class Visit>
void walk(soci::session& sql, long long after, Visit visit) {
  long long sequence = 0, time_s = 0;
  AuditRecord record;
  soci::statement rows =
      (sql.prepare << "select sequence, time_s, kind, body, hash from audit where sequence > :after order by sequence",
       soci::into(sequence), soci::into(time_s), soci::into(record.kind), soci::into(record.body),
       soci::into(record.hash), soci::use(after));
  rows.execute();
  while (rows.fetch()) {
    record.sequence = sequence;
    record.time_s = time_s;
    if (!visit(record)) return;
  }
}

std::optional<AuditRecord> last_record(soci::session& sql) {
  long long last = 0;
  sql << "select coalesce(max(sequence), 0) from audit", soci::into(last);
  std::optional<AuditRecord> found;
  if (last > 0)
    walk(sql, last - 1, [&](const AuditRecord& record) {
      found = record;
      return false;
    });
  return found;
}

}  // namespace

AuditLog::AuditLog(ControlDb& db) : db_(db) {
  db_.transaction([](soci::session& sql) { sql << kTable; });
}

int64_t AuditLog::append_in(soci::session& sql, const std::string& kind, const std::string& body) {
  if (kind.find('\n') != std::string::npos) throw DataError("an audit record's kind is one line");
  const std::optional<AuditRecord> last = last_record(sql);
  AuditRecord record{
      .sequence = last ? last->sequence + 1 : 1, .time_s = now_s(), .kind = kind, .body = body, .hash = {}};
  record.hash = chain_hash(last ? last->hash : std::string(), record);
  const long long sequence = record.sequence, time_s = record.time_s;
  sql << "insert into audit values (:sequence, :time, :kind, :body, :hash)", soci::use(sequence), soci::use(time_s),
      soci::use(record.kind), soci::use(record.body), soci::use(record.hash);
  return record.sequence;
}

int64_t AuditLog::append(const std::string& kind, const std::string& body) {
  int64_t sequence = 0;
  db_.transaction([&](soci::session& sql) { sequence = append_in(sql, kind, body); });
  return sequence;
}

std::vector<AuditRecord> AuditLog::list(int64_t after_sequence, int limit, const std::string& kind_prefix) const {
  std::vector<AuditRecord> found;
  if (limit <= 0) return found;
  db_.transaction([&](soci::session& sql) {
    walk(sql, after_sequence, [&](const AuditRecord& record) {
      if (record.kind.starts_with(kind_prefix)) found.push_back(record);
      return found.size() < static_cast<size_t>(limit);
    });
  });
  return found;
}

std::optional<AuditRecord> AuditLog::head() const {
  std::optional<AuditRecord> found;
  db_.transaction([&](soci::session& sql) { found = last_record(sql); });
  return found;
}

std::optional<AuditLog::Break> AuditLog::verify() const { return verify(AuditRecord{}); }

std::optional<AuditLog::Break> AuditLog::verify(const AuditRecord& anchor) const {
  std::optional<Break> broken;
  std::string previous;
  int64_t expected = 1;
  bool anchor_found = anchor.sequence == 0;
  db_.transaction([&](soci::session& sql) {
    walk(sql, 0, [&](const AuditRecord& record) {
      if (record.sequence != expected) {
        broken = Break{expected, fmt::format("record {} is missing: the next one is {}", expected, record.sequence)};
      } else if (chain_hash(previous, record) != record.hash) {
        broken = Break{
            record.sequence,
            fmt::format("record {} does not match its hash: it, or a record before it, was changed", record.sequence)};
      } else if (record.sequence == anchor.sequence && record.hash != anchor.hash) {
        broken =
            Break{record.sequence,
                  fmt::format("record {} is not the one that was anchored: the log was written anew", record.sequence)};
      }
      anchor_found = anchor_found || record.sequence == anchor.sequence;
      previous = record.hash;
      ++expected;
      return !broken.has_value();
    });
  });
  if (!broken && !anchor_found) {
    broken = Break{expected, fmt::format("the log ends at record {}, before the anchored record {}", expected - 1,
                                         anchor.sequence)};
  }
  return broken;
}

}  // namespace starling
