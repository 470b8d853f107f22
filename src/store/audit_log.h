// A hash-chained log of decisions, kept in the control database: hash[n] = SHA-256(hash[n-1] || n || time || kind ||
// body). Changing, removing or reordering a record breaks every hash after it. Removing the last records leaves a
// whole, shorter chain: keep head() elsewhere to notice that. docs/formats/audit.md gives the exact bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace soci {
class session;
}

namespace starling {

class ControlDb;

struct AuditRecord {
  int64_t sequence = 0;  // from 1
  int64_t time_s = 0;
  std::string kind;  // "ad.written", "ad.approved", "ad.decision", "ad.event", "post.deleted", ...
  std::string body;  // JSON; never a secret, never the text of a deleted post
  std::string hash;  // 64 hex digits
};

class AuditLog {
 public:
  explicit AuditLog(ControlDb& db);
  int64_t append(const std::string& kind, const std::string& body);  // own transaction
  static int64_t append_in(soci::session& session, const std::string& kind,
                           const std::string& body);  // caller's transaction
  std::vector<AuditRecord> list(int64_t after_sequence, int limit, const std::string& kind_prefix = {}) const;
  // The first record whose hash does not follow, with the reason; none when the chain is whole.
  struct Break {
    int64_t sequence;
    std::string reason;
  };
  std::optional<Break> verify() const;
  // Also a break: a chain that does not hold record `anchor.sequence` with `anchor.hash` any more.
  std::optional<Break> verify(const AuditRecord& anchor) const;
  std::optional<AuditRecord> head() const;  // the last record; none in an empty log

 private:
  ControlDb& db_;
};

}  // namespace starling
