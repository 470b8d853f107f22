#include "ads/ads_store.h"

#include <fmt/format.h>
#include <soci/soci.h>

#include <algorithm>

#include "ads/ads_json.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/json.h"

namespace starling {
namespace {

using Json = nlohmann::json;

constexpr const char* kTables[] = {
    "create table if not exists ads_campaigns (id text primary key, created_s integer not null, state text not null, "
    "writer text not null,"
    " brief text not null, audiences text not null, refused text not null, budget_micros integer not null,"
    " spent_micros integer not null default 0, reserved_micros integer not null default 0,"
    " check (spent_micros >= 0 and reserved_micros >= 0 and spent_micros + reserved_micros <= budget_micros))",
    "create table if not exists ads_variants (campaign_id text not null references ads_campaigns (id), id text not "
    "null unique,"
    " place integer not null, body text not null, primary key (campaign_id, id))",
    "create table if not exists ads_decisions (request_id text primary key, impression_id text not null unique, time_s "
    "integer not null,"
    " viewer text not null, campaign_id text not null, variant_id text not null, price_micros integer not null, state "
    "text not null,"
    " answer text not null)",
    "create index if not exists ads_decisions_by_viewer on ads_decisions (viewer, campaign_id, time_s)",
    "create index if not exists ads_decisions_open on ads_decisions (state, time_s) where state = 'reserved'",
    "create index if not exists ads_decisions_by_variant on ads_decisions (variant_id)",
    "create table if not exists ads_ledger (sequence integer primary key autoincrement, time_s integer not null, "
    "campaign_id text not null,"
    " impression_id text not null, kind text not null, amount_micros integer not null)",
    "create table if not exists ads_events (impression_id text not null, type text not null, time_s integer not null,"
    " primary key (impression_id, type))",
    "create table if not exists ads_library (variant_id text primary key, campaign_id text not null,"
    " who text not null, words text not null)",
    "create table if not exists ads_opt_outs (viewer text primary key)",
    "create table if not exists ads_secrets (name text primary key, value text not null)",
    "create table if not exists ads_version (only integer primary key check (only = 0), version integer not null)",
    "insert or ignore into ads_version values (0, 0)",
    "create table if not exists ads_changes (campaign_id text primary key, version integer not null)",
    "create index if not exists ads_changes_by_version on ads_changes (version)",
};

void touch(soci::session& sql, const std::string& campaign_id) {
  sql << "update ads_version set version = version + 1";
  sql << "insert or replace into ads_changes select :id, version from ads_version", soci::use(campaign_id);
}

CampaignState campaign_state(const std::string& name) {
  for (const CampaignState state :
       {CampaignState::draft, CampaignState::approved, CampaignState::paused, CampaignState::ended}) {
    if (to_string(state) == name) return state;
  }
  throw DataError(fmt::format("control database: unknown campaign state `{}`", name));
}

int place_of(const Variant& variant) {
  return variant.state == VariantState::approved ? 0 : variant.state == VariantState::accepted ? 1 : 2;
}

void load_variants(soci::session& sql, Campaign& campaign) {
  std::string body;
  soci::statement rows = (sql.prepare << "select body from ads_variants where campaign_id = :id order by place",
                          soci::into(body), soci::use(campaign.id));
  rows.execute();
  while (rows.fetch()) campaign.variants.push_back(parse_json(body).get<Variant>());
  std::stable_sort(campaign.variants.begin(), campaign.variants.end(), [](const Variant& a, const Variant& b) {
    return std::pair(place_of(a), -a.score) < std::pair(place_of(b), -b.score);
  });
}

}  // namespace

void create_ads_tables(soci::session& sql) {
  for (const char* statement : kTables) sql << statement;
}

void insert_campaign(soci::session& sql, const Campaign& campaign) {
  const std::string brief = dump_json(Json(campaign.brief)), audiences = dump_json(Json(campaign.audiences)),
                    refused = dump_json(Json(campaign.refused_audiences));
  const std::string state(to_string(campaign.state));
  const long long created_s = campaign.created_s, budget = campaign.brief.budget_micros;
  sql << "insert into ads_campaigns (id, created_s, state, writer, brief, audiences, refused, budget_micros)"
         " values (:id, :created, :state, :writer, :brief, :audiences, :refused, :budget)",
      soci::use(campaign.id), soci::use(created_s), soci::use(state), soci::use(campaign.writer), soci::use(brief),
      soci::use(audiences), soci::use(refused), soci::use(budget);
  int place = 0;
  for (const Variant& variant : campaign.variants) {
    const std::string body = dump_json(Json(variant));
    ++place;
    sql << "insert into ads_variants (campaign_id, id, place, body) values (:campaign, :id, :place, :body)",
        soci::use(campaign.id), soci::use(variant.id), soci::use(place), soci::use(body);
  }
  touch(sql, campaign.id);
}

std::optional<Campaign> load_campaign(soci::session& sql, const std::string& id) {
  Campaign campaign{.id = id};
  std::string state, brief, audiences, refused;
  long long created_s = 0, spent = 0, reserved = 0;
  sql << "select created_s, state, writer, brief, audiences, refused, spent_micros, reserved_micros from ads_campaigns "
         "where id = :id",
      soci::into(created_s), soci::into(state), soci::into(campaign.writer), soci::into(brief), soci::into(audiences),
      soci::into(refused), soci::into(spent), soci::into(reserved), soci::use(id);
  if (!sql.got_data()) return std::nullopt;
  campaign.created_s = created_s;
  campaign.state = campaign_state(state);
  campaign.brief = stored_brief(brief, "brief of campaign " + id);
  campaign.audiences = parse_json(audiences).get<std::vector<AdAudience>>();
  campaign.refused_audiences = parse_json(refused).get<std::vector<RefusedAudience>>();
  campaign.spent_micros = spent;
  campaign.reserved_micros = reserved;
  load_variants(sql, campaign);
  return campaign;
}

std::vector<Campaign> load_campaigns(soci::session& sql, const ListRange& range) {
  const auto limit = static_cast<long long>(range.limit), offset = static_cast<long long>(range.offset);
  std::vector<std::string> ids;
  std::string id;
  soci::statement rows =
      (sql.prepare << "select id from ads_campaigns order by created_s desc, rowid desc limit :limit offset :offset",
       soci::into(id), soci::use(limit), soci::use(offset));
  rows.execute();
  while (rows.fetch()) ids.push_back(id);
  std::vector<Campaign> campaigns;
  for (const std::string& known : ids) campaigns.push_back(*load_campaign(sql, known));
  return campaigns;
}

void update_campaign_state(soci::session& sql, const std::string& id, CampaignState state) {
  const std::string name(to_string(state));
  sql << "update ads_campaigns set state = :state where id = :id", soci::use(name), soci::use(id);
  touch(sql, id);
}

void update_variant(soci::session& sql, const std::string& campaign_id, const Variant& variant) {
  const std::string body = dump_json(Json(variant));
  sql << "update ads_variants set body = :body where campaign_id = :campaign and id = :id", soci::use(body),
      soci::use(campaign_id), soci::use(variant.id);
  touch(sql, campaign_id);
}

int64_t campaigns_version(soci::session& sql) {
  long long version = 0;
  sql << "select version from ads_version", soci::into(version);
  return version;
}

std::vector<std::string> campaigns_changed_since(soci::session& sql, int64_t version) {
  std::vector<std::string> ids;
  std::string id;
  const long long known = version;
  soci::statement rows = version < 0
                             ? (sql.prepare << "select id from ads_campaigns where state = 'approved'", soci::into(id))
                             : (sql.prepare << "select campaign_id from ads_changes where version > :known",
                                soci::into(id), soci::use(known));
  rows.execute();
  while (rows.fetch()) ids.push_back(id);
  return ids;
}

std::string ads_secret(soci::session& sql, const std::string& name) {
  const std::string fresh = random_hex(32);
  sql << "insert or ignore into ads_secrets (name, value) values (:name, :value)", soci::use(name), soci::use(fresh);
  std::string value;
  sql << "select value from ads_secrets where name = :name", soci::into(value), soci::use(name);
  return value;
}

}  // namespace starling
