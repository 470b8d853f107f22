#include "store/control_db.h"

#include <fmt/format.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <unordered_set>

#include "core/error.h"
#include "core/hash.h"
#include "core/time.h"

namespace starling {
namespace {

namespace fs = std::filesystem;
using namespace sqlite_api;  // where SOCI puts sqlite3.h's names

constexpr int kSchemaVersion = 3;
constexpr std::array kRoles = {"admin", "search", "ads", "advertiser", "read"};
// Above this size the page check at opening would cost more than it tells.
constexpr uintmax_t kCheckedBytes = 64u << 20;

// `sequence` of a tombstone grows and is never used again, so "what is new" is one comparison.
constexpr std::array kSchema = {
    "create table if not exists tombstones (sequence integer primary key autoincrement, kind text not null, id text "
    "not null,"
    " time_s integer not null, reason text not null, unique (kind, id))",
    "create table if not exists opt_outs (author text not null, purpose text not null, primary key (author, purpose))",
    "create table if not exists opt_out_version (only integer primary key check (only = 0), version integer not null)",
    "insert or ignore into opt_out_version values (0, 0)",
    "create table if not exists api_keys (name text primary key, role text not null, sha256 text not null unique)",
};

// What a database of schema 1 lacks, and a new one after kSchema; then what one of schema 2 lacks.
constexpr std::array kSchema2 = {
    "alter table api_keys add column requests_per_second real not null default -1",
    "alter table api_keys add column tokens_per_day integer not null default -1",
};

constexpr std::array kSchema3 = {
    "alter table tombstones add column purged integer not null default 0",
    "create index unpurged on tombstones (sequence) where purged = 0",
};

template <size_t N>
void require_one_of(const std::array<const char*, N>& known, const std::string& value, const char* what) {
  for (const char* name : known) {
    if (value == name) return;
  }
  throw ConfigError(fmt::format("unknown {} `{}`; it is one of {}", what, value, fmt::join(known, ", ")));
}

IoError damaged(const fs::path& path, const std::string& detail) {
  return IoError(
      fmt::format("{}: the control database cannot be used: {}; if the file is damaged, put back a copy of it or "
                  "try `sqlite3 {} .recover`",
                  path.string(), detail, path.string()));
}

sqlite3* connection(soci::session& session) {
  return static_cast<soci::sqlite3_session_backend*>(session.get_backend())->conn_;
}

// Opens one connection: readers never wait for the writer (write-ahead log), and a commit returns when it is on disk.
void open_session(soci::session& session, const fs::path& path) {
  session.open(soci::sqlite3, fmt::format("dbname=\"{}\"", path.string()));
  sqlite3_busy_timeout(connection(session), 30'000);
  session << "pragma journal_mode = wal";
  session << "pragma synchronous = full";
  session << "pragma foreign_keys = on";
}

}  // namespace

struct ControlDb::State {
  fs::path path;

  std::recursive_mutex write_mutex;
  soci::session writer;
  bool in_transaction = false;

  // Look-ups have their own connection, so they do not wait while a commit reaches the disk.
  std::mutex read_mutex;
  soci::session reader;
  sqlite3_stmt* data_version_query = nullptr;
  long long data_version = -1;
  long long last_tombstone = 0;
  long long opt_out_version = -1;
  std::unordered_set<std::string> deleted_posts, deleted_authors;
  std::map<std::string, std::unordered_set<std::string>> opt_outs;  // authors by purpose

  ~State() { sqlite3_finalize(data_version_query); }

  void create_schema();
  void check_pages();
  long long read_data_version();
  void refresh();
  std::vector<Tombstone> select_tombstones(const std::string& condition);
  template <class Work>
  auto read(Work work) -> decltype(work());
};

void ControlDb::State::create_schema() {
  int version = 0;
  writer << "pragma user_version", soci::into(version);
  if (version > kSchemaVersion) {
    throw IoError(fmt::format("{}: written by a newer Starling (schema {}, this one knows {}); update Starling",
                              path.string(), version, kSchemaVersion));
  }
  if (version == kSchemaVersion) return;
  writer << "begin immediate";
  writer << "pragma user_version", soci::into(version);  // another process may have been here first
  if (version < 1)
    for (const char* statement : kSchema) writer << statement;
  if (version < 2)
    for (const char* statement : kSchema2) writer << statement;
  if (version < 3)
    for (const char* statement : kSchema3) writer << statement;
  writer << fmt::format("pragma user_version = {}", kSchemaVersion);
  writer << "commit";
}

void ControlDb::State::check_pages() {
  if (fs::file_size(path) > kCheckedBytes) return;
  std::string verdict;
  writer << "pragma quick_check(1)", soci::into(verdict);
  if (verdict != "ok") throw damaged(path, verdict);
}

// A raw statement, because it must be reset at once: an open one would pin an old snapshot of the database.
long long ControlDb::State::read_data_version() {
  const int status = sqlite3_step(data_version_query);
  const long long version = sqlite3_column_int64(data_version_query, 0);
  sqlite3_reset(data_version_query);
  if (status != SQLITE_ROW) throw damaged(path, sqlite3_errmsg(connection(reader)));
  return version;
}

// Re-reads what changed since the last look-up, by whichever connection or process.
void ControlDb::State::refresh() {
  const long long version = read_data_version();
  if (version == data_version) return;
  const long long seen = last_tombstone;
  std::string kind_or_author, id_or_purpose;
  soci::statement news =
      (reader.prepare << "select sequence, kind, id from tombstones where sequence > :last order by sequence",
       soci::into(last_tombstone), soci::into(kind_or_author), soci::into(id_or_purpose), soci::use(seen));
  news.execute();
  while (news.fetch()) (kind_or_author == "author" ? deleted_authors : deleted_posts).insert(id_or_purpose);
  long long current = 0;
  reader << "select version from opt_out_version", soci::into(current);
  if (current != opt_out_version) {
    opt_outs.clear();
    soci::statement rows = (reader.prepare << "select author, purpose from opt_outs", soci::into(kind_or_author),
                            soci::into(id_or_purpose));
    rows.execute();
    while (rows.fetch()) opt_outs[id_or_purpose].insert(kind_or_author);
    opt_out_version = current;
  }
  data_version = version;
}

template <class Work>
auto ControlDb::State::read(Work work) -> decltype(work()) {
  const std::lock_guard lock(read_mutex);
  try {
    return work();
  } catch (const soci::soci_error& error) {
    throw damaged(path, error.what());
  }
}

ControlDb::ControlDb(const fs::path& path) : state_(std::make_unique<State>()) {
  state_->path = path;
  try {
    open_session(state_->writer, path);
    state_->create_schema();
    state_->check_pages();
    open_session(state_->reader, path);
  } catch (const soci::soci_error& error) {
    throw damaged(path, error.what());
  }
  sqlite3_prepare_v2(connection(state_->reader), "pragma data_version", -1, &state_->data_version_query, nullptr);
}

ControlDb::~ControlDb() = default;

void ControlDb::transaction(const std::function<void(soci::session&)>& work) {
  const std::lock_guard lock(state_->write_mutex);
  if (state_->in_transaction) return work(state_->writer);  // joins the transaction that this thread is in
  try {
    state_->writer << "begin immediate";
    state_->in_transaction = true;
    work(state_->writer);
    state_->writer << "commit";
    state_->in_transaction = false;
  } catch (const std::exception& error) {
    // Some failures (a full disk) have rolled back already; then there is nothing left to undo.
    if (sqlite3_get_autocommit(connection(state_->writer)) == 0)
      sqlite3_exec(connection(state_->writer), "rollback", nullptr, nullptr, nullptr);
    state_->in_transaction = false;
    if (dynamic_cast<const soci::soci_error*>(&error) != nullptr) throw damaged(state_->path, error.what());
    throw;
  }
}

void ControlDb::add_tombstone(const Tombstone& tombstone) {
  if (tombstone.kind != "post" && tombstone.kind != "author") {
    throw ConfigError(fmt::format("a tombstone is for a `post` or an `author`, not for `{}`", tombstone.kind));
  }
  if (tombstone.id.empty()) throw ConfigError("a tombstone needs the id of a post or an author");
  const long long time_s = tombstone.time_s != 0 ? tombstone.time_s : now_s();
  transaction([&](soci::session& sql) {
    sql << "insert or ignore into tombstones (kind, id, time_s, reason) values (:kind, :id, :time, :reason)",
        soci::use(tombstone.kind), soci::use(tombstone.id), soci::use(time_s), soci::use(tombstone.reason);
  });
}

bool ControlDb::is_deleted(const std::string& post_id, const std::string& author) const {
  return state_->read([&] {
    state_->refresh();
    return state_->deleted_posts.contains(post_id) || (!author.empty() && state_->deleted_authors.contains(author));
  });
}

bool ControlDb::names_deleted(const std::vector<std::string>& ids) const {
  return state_->read([&] {
    state_->refresh();
    return std::any_of(ids.begin(), ids.end(), [&](const std::string& id) {
      return state_->deleted_posts.contains(id) || state_->deleted_authors.contains(id);
    });
  });
}

std::vector<Tombstone> ControlDb::State::select_tombstones(const std::string& condition) {
  return read([&] {
    std::vector<Tombstone> found;
    Tombstone row;
    long long time_s = 0;
    soci::statement rows =
        (reader.prepare << "select kind, id, time_s, reason from tombstones " + condition + " order by sequence",
         soci::into(row.kind), soci::into(row.id), soci::into(time_s), soci::into(row.reason));
    rows.execute();
    while (rows.fetch()) found.push_back({row.kind, row.id, time_s, row.reason});
    return found;
  });
}

std::vector<Tombstone> ControlDb::tombstones(uint64_t after_version) const {
  return state_->select_tombstones(fmt::format("where sequence > {}", after_version));
}

std::vector<Tombstone> ControlDb::unpurged() const { return state_->select_tombstones("where purged = 0"); }

void ControlDb::set_purged(const std::vector<Tombstone>& tombstones) {
  transaction([&](soci::session& sql) {
    for (const Tombstone& tombstone : tombstones)
      sql << "update tombstones set purged = 1 where kind = :kind and id = :id", soci::use(tombstone.kind),
          soci::use(tombstone.id);
  });
}

uint64_t ControlDb::tombstone_version() const {
  return state_->read([&] {
    state_->refresh();
    return static_cast<uint64_t>(state_->last_tombstone);
  });
}

void ControlDb::add_opt_out(const std::string& author, const std::string& purpose) {
  require_one_of(kOptOutPurposes, purpose, "purpose of an opt-out");
  transaction([&](soci::session& sql) {
    sql << "insert or ignore into opt_outs values (:author, :purpose)", soci::use(author), soci::use(purpose);
    sql << "update opt_out_version set version = version + 1";
  });
}

void ControlDb::remove_opt_out(const std::string& author, const std::string& purpose) {
  require_one_of(kOptOutPurposes, purpose, "purpose of an opt-out");
  transaction([&](soci::session& sql) {
    sql << "delete from opt_outs where author = :author and purpose = :purpose", soci::use(author), soci::use(purpose);
    sql << "update opt_out_version set version = version + 1";
  });
}

bool ControlDb::has_opted_out(const std::string& author, const std::string& purpose) const {
  return state_->read([&] {
    state_->refresh();
    const auto authors = state_->opt_outs.find(purpose);
    return authors != state_->opt_outs.end() && authors->second.contains(author);
  });
}

bool ControlDb::has_opt_outs(const std::string& purpose) const {
  return state_->read([&] {
    state_->refresh();
    return state_->opt_outs.contains(purpose);
  });
}

std::vector<std::string> ControlDb::opted_out_authors(const std::string& purpose) const {
  return state_->read([&] {
    state_->refresh();
    const auto authors = state_->opt_outs.find(purpose);
    if (authors == state_->opt_outs.end()) return std::vector<std::string>{};
    std::vector<std::string> sorted(authors->second.begin(), authors->second.end());
    std::sort(sorted.begin(), sorted.end());
    return sorted;
  });
}

std::string ControlDb::create_key(const std::string& name, const std::string& role, const KeyLimits& limits) {
  require_one_of(kRoles, role, "role");
  if (name.empty()) throw ConfigError("an API key needs the name of whom it is given to");
  const std::string key = "sk-starling-" + random_hex(24);
  const std::string digest = sha256_hex(key);
  transaction([&](soci::session& sql) {
    int known = 0;
    sql << "select count(*) from api_keys where name = :name", soci::into(known), soci::use(name);
    if (known > 0)
      throw ConfigError(fmt::format("there is a key named `{}` already; revoke it first or choose another name", name));
    const auto tokens_per_day = static_cast<long long>(limits.tokens_per_day);
    sql << "insert into api_keys (name, role, sha256, requests_per_second, tokens_per_day) values (:name, :role, :sha, "
           ":requests, :tokens)",
        soci::use(name), soci::use(role), soci::use(digest), soci::use(limits.requests_per_second),
        soci::use(tokens_per_day);
  });
  return key;
}

bool ControlDb::find_key(const std::string& key, ApiKey& found) const {
  return state_->read([&] {
    const std::string digest = sha256_hex(key);
    long long tokens_per_day = -1;
    state_->reader << "select name, role, requests_per_second, tokens_per_day from api_keys where sha256 = :sha",
        soci::into(found.name), soci::into(found.role), soci::into(found.limits.requests_per_second),
        soci::into(tokens_per_day), soci::use(digest);
    found.limits.tokens_per_day = tokens_per_day;
    return state_->reader.got_data();
  });
}

std::optional<ApiKey> ControlDb::set_key_limits(const std::string& name, const KeyLimitChange& change) {
  std::optional<ApiKey> changed;
  transaction([&](soci::session& sql) {
    ApiKey key{.name = name};
    long long tokens_per_day = -1;
    sql << "select role, requests_per_second, tokens_per_day from api_keys where name = :name", soci::into(key.role),
        soci::into(key.limits.requests_per_second), soci::into(tokens_per_day), soci::use(name);
    if (!sql.got_data()) return;
    key.limits.requests_per_second = change.requests_per_second.value_or(key.limits.requests_per_second);
    key.limits.tokens_per_day = tokens_per_day = change.tokens_per_day.value_or(tokens_per_day);
    sql << "update api_keys set requests_per_second = :requests, tokens_per_day = :tokens where name = :name",
        soci::use(key.limits.requests_per_second), soci::use(tokens_per_day), soci::use(name);
    changed = key;
  });
  return changed;
}

bool ControlDb::revoke_key(const std::string& name) {
  bool existed = false;
  transaction([&](soci::session& sql) {
    int count = 0;
    sql << "select count(*) from api_keys where name = :name", soci::into(count), soci::use(name);
    existed = count > 0;
    sql << "delete from api_keys where name = :name", soci::use(name);
  });
  return existed;
}

std::vector<ApiKey> ControlDb::keys() const {
  return state_->read([&] {
    std::vector<ApiKey> found;
    ApiKey row;
    long long tokens_per_day = -1;
    soci::statement rows =
        (state_->reader.prepare << "select name, role, requests_per_second, tokens_per_day from api_keys order by name",
         soci::into(row.name), soci::into(row.role), soci::into(row.limits.requests_per_second),
         soci::into(tokens_per_day));
    rows.execute();
    while (rows.fetch()) {
      row.limits.tokens_per_day = tokens_per_day;
      found.push_back(row);
    }
    return found;
  });
}

}  // namespace starling
