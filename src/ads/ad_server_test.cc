#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <soci/soci.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "ads/ad_candidates.h"
#include "ads/ad_library.h"
#include "ads/ads_json.h"
#include "ads/ads_service.h"
#include "ads/ads_store.h"
#include "ads/auction.h"
#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "core/time.h"
#include "store/audit_log.h"
#include "store/control_db.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kNow = 1'780'000'000;  // 2026-05-28

Brief test_brief(const std::string& advertiser, int64_t budget_micros, int64_t max_bid_micros) {
  Brief brief = brief_from_toml(R"(
advertiser = "x"
payer = "Payer Ltd"
product = "Lemur laptop"
landing_page = "https://lemur.example/"
currency = "USD"
budget = 1
max_bid = 0.01
frequency_cap = 1000
find_audiences = true
facts = [{id = "memory", name = "memory", value = 16, unit = "GB"}]
)",
                                "test");
  brief.advertiser = advertiser;
  brief.budget_micros = budget_micros;
  brief.max_bid_micros = max_bid_micros;
  return brief;
}

class AdServerTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("starling_ads_" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    path_ = folder_ / "control.db";
    open();
  }
  void TearDown() override {
    close();
    fs::remove_all(folder_);
  }
  void open() {
    control_ = std::make_unique<ControlDb>(path_);
    ads_ = std::make_unique<AdsService>(*control_, nullptr, nullptr, AdsOptions{}, [this] { return clock_s_.load(); });
  }
  void close() {
    ads_.reset();
    control_.reset();
  }

  // A campaign with one accepted and one rejected variant, as the checks judge them.
  Campaign add_campaign(const std::string& id, const Brief& brief) {
    Campaign campaign{.id = id, .brief = brief, .writer = "test", .created_s = kNow};
    campaign.audiences = {
        {.id = "a1", .name = "linux", .query = "+linux", .authors = 60, .posts = 100, .reason = "posts with “linux”"}};
    int number = 0;
    for (const char* body : {"Discover 16 GB memory.", "Discover 32 GB memory."}) {
      Variant variant = ads_->check(brief, "Lemur laptop", body);
      variant.id = id + "-v" + std::to_string(++number);
      variant.audience_id = "a1";
      campaign.variants.push_back(variant);
    }
    control_->transaction([&](soci::session& sql) { insert_campaign(sql, campaign); });
    return campaign;
  }
  void add_running(const std::string& id, int64_t budget_micros, int64_t max_bid_micros) {
    add_campaign(id, test_brief(id, budget_micros, max_bid_micros));
    ads_->approve(id, {}, "ines");
  }
  DecideResult decide(const std::string& request, const std::string& viewer = "v",
                      const std::string& context = "a linux laptop with memory") {
    return ads_->decide({.request_id = request, .viewer = viewer, .context = context});
  }

  // spent and reserved are the sums of the ledger, within the budget, and the audit chain is whole.
  void expect_books_balance() {
    control_->transaction([&](soci::session& sql) {
      for (const Campaign& campaign : load_campaigns(sql, {})) {
        long long spent = 0, reserved = 0;
        sql << "select coalesce(sum(case kind when 'settle' then amount_micros else 0 end), 0),"
               " coalesce(sum(case kind when 'reserve' then amount_micros else -amount_micros end), 0) from ads_ledger "
               "where campaign_id = :id",
            soci::into(spent), soci::into(reserved), soci::use(campaign.id);
        EXPECT_EQ(campaign.spent_micros, spent);
        EXPECT_EQ(campaign.reserved_micros, reserved);
        EXPECT_LE(spent + reserved, campaign.brief.budget_micros);
      }
    });
    EXPECT_FALSE(AuditLog(*control_).verify().has_value());
  }

  fs::path folder_, path_;
  std::atomic<int64_t> clock_s_ = kNow;
  std::unique_ptr<ControlDb> control_;
  std::unique_ptr<AdsService> ads_;
};

TEST_F(AdServerTest, OnlyApprovedVariantsRunAndARejectedOneCannotBeApproved) {
  add_campaign("c1", test_brief("Lemur", 1'000'000, 10'000));
  EXPECT_FALSE(decide("r0").ad.has_value());
  EXPECT_THROW(ads_->approve("c1", {"c1-v2"}, "ines"), DataError);
  EXPECT_THROW(ads_->approve("c1", {"nothing"}, "ines"), DataError);
  EXPECT_THROW(ads_->approve("nothing", {}, "ines"), DataError);
  EXPECT_THROW(ads_->approve("c1", {}, ""), DataError);
  EXPECT_FALSE(decide("r1").ad.has_value());
  const Campaign approved = ads_->approve("c1", {}, "ines");
  EXPECT_EQ(approved.state, CampaignState::approved);
  EXPECT_EQ(approved.variants[0].state, VariantState::approved);
  const DecideResult result = decide("r2");
  ASSERT_TRUE(result.ad.has_value()) << result.reason;
  EXPECT_EQ(result.ad->variant_id, "c1-v1");
  EXPECT_EQ(result.ad->label, "AI-generated ad · paid for by Payer Ltd");
  EXPECT_THAT(result.ad->why_this_ad, testing::HasSubstr("60 authors"));
  ads_->set_state("c1", CampaignState::paused);
  EXPECT_FALSE(decide("r3").ad.has_value());
}

TEST_F(AdServerTest, AnApprovalDoesNotResumeAPausedCampaign) {
  add_running("c1", 1'000'000, 10'000);
  ads_->set_state("c1", CampaignState::paused);
  EXPECT_EQ(ads_->approve("c1", {"c1-v1"}, "ines").state, CampaignState::paused);
  EXPECT_FALSE(decide("r1").ad.has_value());
  ads_->set_state("c1", CampaignState::approved);
  EXPECT_TRUE(decide("r2").ad.has_value());
}

TEST_F(AdServerTest, ALateImpressionCountsForTheFrequencyCap) {
  Brief brief = test_brief("Lemur", 1'000'000, 10'000);
  brief.frequency_cap = 1;
  add_campaign("c1", brief);
  ads_->approve("c1", {}, "ines");
  const AdDecision ad = *decide("r1").ad;
  clock_s_ += AdsOptions{}.reservation_s + 1;
  EXPECT_TRUE(decide("r2", "another viewer").ad.has_value());  // releases the first
  EXPECT_TRUE(ads_->record_event(ad.token, "impression"));
  EXPECT_FALSE(decide("r3").ad.has_value());
  expect_books_balance();
}

TEST_F(AdServerTest, TheSameRequestGivesTheSameAnswerAndPaysOnce) {
  add_running("c1", 1'000'000, 10'000);
  const std::string first = nlohmann::json(decide("r1")).dump();
  EXPECT_EQ(nlohmann::json(decide("r1")).dump(), first);
  close();
  open();
  EXPECT_EQ(nlohmann::json(decide("r1")).dump(), first);
  EXPECT_EQ(ads_->campaign("c1")->reserved_micros, 1000);
  const std::string none = nlohmann::json(decide("r2", "v", "cats")).dump();
  EXPECT_EQ(nlohmann::json(decide("r2")).dump(), none);  // also when the answer was "no ad"
}

TEST_F(AdServerTest, TwoCampaignsCompeteAndTheWinnerPaysTheSecondPrice) {
  add_running("low", 1'000'000, 4'000);
  add_running("high", 1'000'000, 9'000);
  const DecideResult result = decide("r1");
  ASSERT_TRUE(result.ad.has_value());
  EXPECT_EQ(result.ad->campaign_id, "high");
  EXPECT_EQ(result.ad->price_micros, 4'001);
}

TEST_F(AdServerTest, AnImpressionSettlesAndAClickCountsOnceEach) {
  add_running("c1", 1'000'000, 10'000);
  const AdDecision ad = *decide("r1").ad;
  EXPECT_EQ(ads_->campaign("c1")->spent_micros, 0);
  EXPECT_TRUE(ads_->record_event(ad.token, "impression"));
  EXPECT_FALSE(ads_->record_event(ad.token, "impression"));
  EXPECT_TRUE(ads_->record_event(ad.token, "click"));
  EXPECT_FALSE(ads_->record_event(ad.token, "click"));
  const Campaign campaign = *ads_->campaign("c1");
  EXPECT_EQ(campaign.spent_micros, 1000);
  EXPECT_EQ(campaign.reserved_micros, 0);
  const LibraryEntry entry = *ads_->library_entry("c1-v1");
  EXPECT_EQ(entry.impressions, 1);
  EXPECT_EQ(entry.clicks, 1);
  EXPECT_EQ(entry.spent_micros, 1000);
  EXPECT_EQ(entry.first_shown_s, kNow);
  EXPECT_EQ(entry.audience, "linux");
  EXPECT_EQ(ads_->library("16 GB", "C1").size(), 1u);
  EXPECT_TRUE(ads_->library("32 GB").empty());
  EXPECT_FALSE(ads_->library_entry("c1-v2").has_value());
  expect_books_balance();
}

TEST_F(AdServerTest, TheLibraryReadsOnlyWhatItShows) {
  add_running("c1", 1'000'000, 10'000);
  add_running("c2", 1'000'000, 10'000);
  control_->transaction(
      [](soci::session& sql) { sql << "update ads_campaigns set brief = 'no JSON' where id = 'c2'"; });
  EXPECT_TRUE(ads_->library_entry("c1-v1").has_value());
  EXPECT_EQ(ads_->library("16 gb", "C1").size(), 1u);
}

TEST_F(AdServerTest, TheLibraryHoldsWhatWasApprovedBeforeItHadATable) {
  add_running("c1", 1'000'000, 10'000);
  control_->transaction([](soci::session& sql) { sql << "drop table ads_library"; });
  close();
  open();
  EXPECT_TRUE(ads_->library_entry("c1-v1").has_value());
  EXPECT_FALSE(ads_->library_entry("c1-v2").has_value());
}

TEST_F(AdServerTest, LongListsAreReadInParts) {
  Campaign campaign = add_campaign("c1", test_brief("Lemur", 1'000'000, 10'000));
  campaign.id = "c2";
  campaign.created_s += 1;
  campaign.variants.resize(1);
  campaign.variants.resize(25, campaign.variants[0]);
  for (size_t i = 0; i < campaign.variants.size(); ++i) campaign.variants[i].id = "c2-v" + std::to_string(i);
  control_->transaction([&](soci::session& sql) { insert_campaign(sql, campaign); });
  for (const char* id : {"c1", "c2"}) ads_->approve(id, {}, "ines");
  std::vector<std::string> all, in_parts;
  for (const LibraryEntry& entry : ads_->library()) all.push_back(entry.variant_id);
  EXPECT_EQ(all.size(), 26u);
  EXPECT_EQ(all.back(), "c1-v1");
  for (size_t offset = 0; offset < all.size(); offset += 7)
    for (const LibraryEntry& entry : ads_->library({}, {}, {.offset = offset, .limit = 7}))
      in_parts.push_back(entry.variant_id);
  EXPECT_EQ(in_parts, all);
  EXPECT_TRUE(ads_->library({}, {}, {.offset = 26}).empty());
  EXPECT_EQ(ads_->campaigns({.offset = 1, .limit = 1}).at(0).id, "c1");
}

TEST_F(AdServerTest, AForgedTokenIsRefused) {
  add_running("c1", 1'000'000, 10'000);
  const AdDecision ad = *decide("r1").ad;
  std::string forged = ad.token;
  forged.back() = forged.back() == '0' ? '1' : '0';
  for (const std::string& token : {forged, std::string(), std::string("s1.."), "s1." + ad.impression_id + ".",
                                   std::string(1000, 'a'), ad.token + "0"}) {
    EXPECT_THROW(ads_->record_event(token, "impression"), DataError) << token;
  }
  EXPECT_THROW(ads_->record_event(ad.token, "conversion"), DataError);
  EXPECT_EQ(ads_->campaign("c1")->spent_micros, 0);
}

TEST_F(AdServerTest, AnUnseenReservationIsReleasedAndALateImpressionIsFree) {
  add_running("c1", 1'500, 1'000);  // room for one
  const AdDecision ad = *decide("r1").ad;
  EXPECT_FALSE(decide("r2").ad.has_value());
  clock_s_ += AdsOptions{}.reservation_s + 1;
  ASSERT_TRUE(decide("r3").ad.has_value());
  EXPECT_TRUE(ads_->record_event(ad.token, "impression"));
  EXPECT_EQ(ads_->campaign("c1")->spent_micros, 0);
  expect_books_balance();
}

TEST_F(AdServerTest, TheTimeThatARequestNamesMovesNobodysMoney) {
  add_running("c1", 1'500, 1'000);  // room for one
  const auto decide_at = [&](const std::string& request, int64_t now) {
    return ads_->decide({.request_id = request, .viewer = "v", .context = "a linux laptop with memory", .now_s = now});
  };
  ASSERT_TRUE(decide_at("r1", kNow + 365 * 86400).ad.has_value());
  clock_s_ += AdsOptions{}.reservation_s + 1;
  const DecideResult second = decide_at("r2", kNow - 365 * 86400);  // has the budget of the first, which was not seen
  ASSERT_TRUE(second.ad.has_value());
  EXPECT_FALSE(decide("r3").ad.has_value());  // and holds it as long as any other
  EXPECT_TRUE(ads_->record_event(second.ad->token, "impression"));
  EXPECT_EQ(ads_->campaign("c1")->spent_micros, second.ad->price_micros);
  expect_books_balance();
}

TEST_F(AdServerTest, TheFrequencyCapHoldsForAViewerFor24Hours) {
  Brief brief = test_brief("Lemur", 1'000'000, 10'000);
  brief.frequency_cap = 2;
  add_campaign("c1", brief);
  ads_->approve("c1", {}, "ines");
  for (const char* request : {"r1", "r2"}) ads_->record_event(decide(request).ad->token, "impression");
  EXPECT_FALSE(decide("r3").ad.has_value());
  EXPECT_TRUE(decide("r4", "another viewer").ad.has_value());
  clock_s_ += 24 * 3600 + 1;
  EXPECT_TRUE(decide("r5").ad.has_value());
}

TEST_F(AdServerTest, AViewerWhoOptedOutGetsNoAdUntilTheyOptIn) {
  add_running("c1", 1'000'000, 10'000);
  ads_->set_viewer_opt_out("v", true);
  EXPECT_THAT(decide("r1").reason, testing::HasSubstr("opted out"));
  EXPECT_TRUE(decide("r2", "another").ad.has_value());
  ads_->set_viewer_opt_out("v", false);
  EXPECT_TRUE(decide("r3").ad.has_value());
}

TEST_F(AdServerTest, AViewerIsStoredOnlyAsAKeyedHash) {
  add_running("c1", 1'000'000, 10'000);
  decide("r1", "viewer-in-the-clear-123");
  ads_->set_viewer_opt_out("viewer-in-the-clear-123", true);
  close();
  for (const auto& entry : fs::directory_iterator(folder_)) {
    EXPECT_EQ(read_file(entry.path()).find("viewer-in-the-clear-123"), std::string::npos) << entry.path();
  }
  open();
}

TEST_F(AdServerTest, DatesLanguageContextAndFactsDecideWhoTakesPart) {
  Brief brief = test_brief("Lemur", 1'000'000, 10'000);
  brief.starts_s = kNow;
  brief.ends_s = kNow + 1000;
  brief.facts[0].valid_to_s = kNow + 500;
  add_campaign("c1", brief);
  ads_->approve("c1", {}, "ines");
  const auto at = [&](const std::string& request, int64_t now, const std::string& context,
                      const std::string& language) {
    return ads_->decide({.request_id = request, .viewer = "v", .context = context, .language = language, .now_s = now});
  };
  EXPECT_THAT(at("r1", kNow - 1, "laptop", "en").reason, testing::HasSubstr("outside its dates"));
  EXPECT_THAT(at("r2", kNow + 1000, "laptop", "en").reason, testing::HasSubstr("outside its dates"));
  EXPECT_THAT(at("r3", kNow, "laptop", "de").reason, testing::HasSubstr("another language"));
  EXPECT_THAT(at("r4", kNow, "cats", "en").reason, testing::HasSubstr("not about this page"));
  EXPECT_THAT(at("r5", kNow + 600, "laptop", "en").reason, testing::HasSubstr("no longer valid"));
  EXPECT_TRUE(at("r6", kNow, "laptop", "en").ad.has_value());
  EXPECT_TRUE(at("r7", kNow, "", "").ad.has_value());
  EXPECT_TRUE(at("r8", kNow, "laptop", "en-US").ad.has_value());
  EXPECT_TRUE(at("r9", kNow, "laptop", "EN-gb").ad.has_value());
  EXPECT_THAT(at("r10", kNow, "laptop", "enm").reason, testing::HasSubstr("another language"));
}

// Winner and price among what a page finds are those of the auction as it is defined, over every campaign; campaigns
// pause and resume meanwhile.
TEST_F(AdServerTest, ADecisionIsThatOfAnAuctionOfAllCampaigns) {
  constexpr int kCampaigns = 40, kDecisions = 300;
  const std::vector<std::string> words = {"linux", "laptop", "coffee", "bicycle", "garden", "violin", "chess", "soup"};
  uint64_t drawn = 0;
  const auto draw = [&](uint64_t below) { return random_u64(7, 0, drawn++) % below; };
  std::vector<Campaign> campaigns;
  control_->transaction([&](soci::session& sql) {
    for (int i = 0; i < kCampaigns; ++i) {
      const auto max_bid = static_cast<int64_t>(500 + 500 * draw(6));  // some are below the reserve price, many equal
      Brief brief = test_brief("a", max_bid * static_cast<int64_t>(1 + draw(20)), max_bid);
      brief.product = words[draw(words.size())] + " " + words[draw(words.size())];
      brief.frequency_cap = static_cast<int>(1 + draw(3));
      Campaign campaign{.id = "c" + std::to_string(i), .brief = brief, .state = CampaignState::approved};
      for (const char* variant : {"x", "y"}) {
        const std::string word = words[draw(words.size())];
        campaign.audiences.push_back({.id = variant, .name = word, .query = "+" + word});
        campaign.variants.push_back(
            {.id = campaign.id + variant, .audience_id = variant, .state = VariantState::approved});
      }
      insert_campaign(sql, campaign);
      campaigns.push_back(campaign);
    }
  });
  std::map<std::string, int64_t> spent;
  std::map<std::pair<std::string, std::string>, int> shown;
  int with_ad = 0;
  for (int i = 0; i < kDecisions; ++i) {
    Campaign& changed = campaigns[draw(kCampaigns)];
    changed.state = draw(3) == 0 ? CampaignState::paused : CampaignState::approved;
    ads_->set_state(changed.id, changed.state);
    const DecideRequest request{.request_id = "r" + std::to_string(i),
                                .viewer = "v" + std::to_string(draw(5)),
                                .context = draw(10) == 0 ? "" : words[draw(words.size())] + " " + words[draw(8)]};
    std::vector<Bid> bids;
    for (const Campaign& campaign : campaigns) {
      const int64_t left = campaign.brief.budget_micros - spent[campaign.id];
      if (campaign.state != CampaignState::approved || left < AdsOptions{}.reserve_price_micros ||
          shown[{request.viewer, campaign.id}] >= campaign.brief.frequency_cap)
        continue;
      Bid bid{.campaign_id = campaign.id, .max_bid_micros = std::min(campaign.brief.max_bid_micros, left)};
      for (const Variant& variant : campaign.variants)
        if (const double fit = context_relevance(ad_keywords(campaign, variant), request.context); fit > bid.relevance)
          bid.relevance = fit, bid.variant_id = variant.id;
      bids.push_back(bid);
    }
    const auto outcome = second_price(bids, AdsOptions{}.reserve_price_micros, request.request_id);
    const DecideResult result = ads_->decide(request);
    ASSERT_EQ(result.ad.has_value(), outcome.has_value()) << i << " " << result.reason;
    if (!outcome) continue;
    ASSERT_EQ(result.ad->variant_id, bids[outcome->winner].variant_id) << i;
    ASSERT_EQ(result.ad->price_micros, outcome->price_micros) << i;
    spent[result.ad->campaign_id] += result.ad->price_micros;
    ++shown[{request.viewer, result.ad->campaign_id}];
    ++with_ad;
  }
  EXPECT_GT(with_ad, 50);
  EXPECT_LT(with_ad, kDecisions);
}

TEST_F(AdServerTest, ManyThreadsOnASmallBudgetNeverOverspend) {
  add_running("c1", 25'000, 2'000);
  add_running("c2", 25'000, 1'500);
  std::atomic<int> filled = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const DecideResult result = decide("r" + std::to_string(t) + "-" + std::to_string(i), "v" + std::to_string(i));
        if (!result.ad) continue;
        ++filled;
        if (i % 2 == 0) {
          EXPECT_TRUE(ads_->record_event(result.ad->token, "impression"));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(filled, 16);   // 25,000 of each at 1,501 and 1,000 or more
  EXPECT_LT(filled, 160);  // the money ended first
  expect_books_balance();
  for (const Campaign& campaign : ads_->campaigns())
    EXPECT_LT(campaign.brief.budget_micros - campaign.spent_micros - campaign.reserved_micros, 1000);
}

// One child decides and shows ads with 3 threads, and tells the parent of each acknowledged step before the next.
void decide_until_killed(const fs::path& path, int round, int pipe_end) {
  ControlDb control(path);
  AdsService ads(control, nullptr, nullptr, AdsOptions{}, [] { return kNow; });
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0;; ++i) {
        const std::string request = std::to_string(round) + "-" + std::to_string(t) + "-" + std::to_string(i);
        const DecideResult result = ads.decide({.request_id = request, .viewer = request, .context = "laptop"});
        const bool shown = result.ad && i % 2 == 0 && ads.record_event(result.ad->token, "impression");
        const std::string line = request + (shown ? " shown" : result.ad ? " decided" : " none") + "\n";
        if (write(pipe_end, line.data(), line.size()) < 0) _exit(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

std::string read_until_killed(pid_t child, int pipe_end, size_t wanted_lines) {
  std::string acknowledged;
  char buffer[4096];
  bool killed = false;
  for (ssize_t got; (got = read(pipe_end, buffer, sizeof buffer)) > 0;) {
    acknowledged.append(buffer, static_cast<size_t>(got));
    if (!killed && std::count(acknowledged.begin(), acknowledged.end(), '\n') >= static_cast<ptrdiff_t>(wanted_lines)) {
      kill(child, SIGKILL);
      killed = true;
    }
  }
  waitpid(child, nullptr, 0);
  return acknowledged.substr(0, acknowledged.rfind('\n') + 1);
}

TEST_F(AdServerTest, Kill9AmidDecisionsLosesNothingAcknowledgedAndNeverOverspends) {
  add_running("c1", 150'000, 2'000);
  for (int round = 0; round < 10; ++round) {
    close();  // a database connection must not cross a fork
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      decide_until_killed(path_, round, pipe_ends[1]);
      _exit(0);
    }
    ::close(pipe_ends[1]);
    const std::string acknowledged = read_until_killed(child, pipe_ends[0], 1 + random_u64(11, 0, round) % 40);
    ::close(pipe_ends[0]);
    open();
    expect_books_balance();
    std::istringstream lines(acknowledged);
    for (std::string request, outcome; lines >> request >> outcome;) {
      std::string state;
      control_->transaction([&](soci::session& sql) {
        sql << "select state from ads_decisions where request_id = :id", soci::into(state), soci::use(request);
      });
      EXPECT_EQ(state, outcome == "shown" ? "settled" : outcome == "decided" ? "reserved" : "none") << request;
    }
  }
}

TEST_F(AdServerTest, EveryStepIsInTheAuditLog) {
  add_running("c1", 1'000'000, 10'000);
  ads_->record_event(decide("r1").ad->token, "impression");
  ads_->set_viewer_opt_out("v", true);
  std::vector<std::string> kinds;
  for (const AuditRecord& record : AuditLog(*control_).list(0, 100)) kinds.push_back(record.kind);
  EXPECT_THAT(kinds, testing::ElementsAre("ad.approved", "ad.decision", "ad.event", "ad.opt_out"));
}

TEST_F(AdServerTest, TooLongACopyIsRefusedBeforeItIsRead) {
  const Brief brief = test_brief("Lemur", 1'000'000, 10'000);
  std::string body;
  for (int i = 0; i < 3000; ++i) body += "5 g ";
  EXPECT_THROW(ads_->check(brief, "Lemur laptop", body), DataError);
  EXPECT_THROW(ads_->check(brief, body, "Discover 16 GB memory."), DataError);
  EXPECT_EQ(ads_->check(brief, "Lemur laptop", body.substr(0, 4000)).state, VariantState::rejected);
}

TEST_F(AdServerTest, WritingSaysWhatIsMissing) {
  EXPECT_THROW(ads_->write(test_brief("Lemur", 1'000'000, 10'000)), ConfigError);
}

TEST(DecideRequestJson, ComplainsByField) {
  EXPECT_EQ(decide_request_from_json(R"({"request_id":"r","viewer":"v","now":"2026-01-01"})").now_s,
            parse_time("2026-01-01"));
  for (const char* body : {"", "[]", "{}", R"({"request_id":"r"})", R"({"request_id":1,"viewer":"v"})",
                           R"({"request_id":"r","viewer":"v","now":"soon"})"}) {
    EXPECT_THROW(decide_request_from_json(body), DataError) << body;
  }
  const std::string long_id(300, 'a');
  EXPECT_THROW(decide_request_from_json("{\"request_id\":\"" + long_id + "\",\"viewer\":\"v\"}"), DataError);
}

}  // namespace
}  // namespace starling
