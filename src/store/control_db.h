// The control database (`control.db`): only what must be transactional. SQLite through SOCI, write-ahead log, full
// sync. A method returns when its effect is durable. All throw IoError. Thread-safe: calls take turns.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace soci {
class session;
}

namespace starling {

struct Tombstone {
  std::string kind;  // "post" or "author"
  std::string id;
  int64_t time_s = 0;
  std::string reason;  // free text, for example "user request"
};

// What one key may use. Negative: what the server gives to every key.
struct KeyLimits {
  double requests_per_second = -1;
  int64_t tokens_per_day = -1;  // 0: as many as it likes
};

// What to change of them: nothing where no value is given, and a negative one gives the server's back.
struct KeyLimitChange {
  std::optional<double> requests_per_second;
  std::optional<int64_t> tokens_per_day;
};

struct ApiKey {
  std::string name;  // who it was given to
  std::string role;  // "admin", "search", "ads", "advertiser", "read"
  KeyLimits limits;
};

inline constexpr std::array kOptOutPurposes = {"training", "ads", "search"};

class ControlDb {
 public:
  explicit ControlDb(const std::filesystem::path& path);  // created when missing, migrated when older
  ~ControlDb();

  // Deletions. In-memory sets answer look-ups; they are re-read when another process has written.
  void add_tombstone(const Tombstone& tombstone);  // idempotent
  bool is_deleted(const std::string& post_id, const std::string& author) const;
  // One of these is the id of a deleted post or author. The database is looked at once.
  bool names_deleted(const std::vector<std::string>& ids) const;
  std::vector<Tombstone> tombstones(uint64_t after_version = 0) const;
  uint64_t tombstone_version() const;  // grows with every tombstone, across processes
  // Those whose rows may still stand in the raw posts: a kill came between, or another process held the posts.
  std::vector<Tombstone> unpurged() const;
  void set_purged(const std::vector<Tombstone>& tombstones);

  // Authors who do not want their posts used, of kOptOutPurposes. People's wishes go through store/opt_out.h.
  void add_opt_out(const std::string& author, const std::string& purpose);
  void remove_opt_out(const std::string& author, const std::string& purpose);
  bool has_opted_out(const std::string& author, const std::string& purpose) const;
  bool has_opt_outs(const std::string& purpose) const;  // of anybody
  std::vector<std::string> opted_out_authors(const std::string& purpose) const;

  // API keys: stored as SHA-256; the clear key is returned once. Revoked keys no longer resolve.
  std::string create_key(const std::string& name, const std::string& role, const KeyLimits& limits = {});
  bool find_key(const std::string& key, ApiKey& found) const;
  // The next find_key of any process gives the new limits. The key as it is now; none when nobody has that name.
  std::optional<ApiKey> set_key_limits(const std::string& name, const KeyLimitChange& change);
  bool revoke_key(const std::string& name);
  std::vector<ApiKey> keys() const;

  // For modules that keep own tables (campaigns, ledger, audit): runs `work` in one immediate transaction, rolled back
  // when it throws. The module makes its tables with `create table if not exists` when it starts.
  void transaction(const std::function<void(soci::session&)>& work);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace starling
