// Which models a request may name, and when they are loaded.
#include "server/models.h"

#include "server/test_server.h"

namespace starling {
namespace {

class ModelsTest : public ServerTest {
 protected:
  // A workspace with models of these names, and a server of it.
  void start_with(const std::vector<std::string>& names, const std::string& setting) {
    const Workspace workspace = Workspace::create(root_ / "workspace", "");
    for (const std::string& name : names) make_model(workspace.model(name), context_);
    models_ = workspace.models();
    if (change_) change_(workspace.models());
    start({setting}, false);
  }
  ClientResponse complete(const std::string& model) {
    return call("POST", "/v1/completions", {{"model", model}, {"prompt", "a post"}, {"max_tokens", 2}});
  }
  double pages() { return metric(call("GET", "/metrics").body, "starling_kv_pages "); }
  json names() {
    const json list = ok("GET", "/v1/models")["data"];
    json found = json::array();
    for (const json& model : list) found.push_back(model["id"]);
    return found;
  }
  fs::path models_;
  std::function<void(const fs::path&)> change_;
};

TEST_F(ModelsTest, OthersAreReachedByNameAndLoadedWhenTheyAreFirstUsed) {
  start_with({"own", "second", "hidden"}, "server.models=second");
  EXPECT_EQ(names(), json({"own", "second"}));
  EXPECT_EQ(ok("GET", "/v1/info")["models"], names()) << "what the page lets choose";
  const double before = pages();
  EXPECT_EQ(ok("GET", "/v1/models/second")["id"], "second");
  EXPECT_EQ(pages(), before) << "neither naming nor counting loads it";
  const ClientResponse answer = complete("second");
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(json::parse(answer.body)["model"], "second");
  EXPECT_GT(pages(), before);
  EXPECT_EQ(complete("hidden").status, 404) << "a folder that the settings do not name";
  EXPECT_EQ(call("GET", "/v1/models/hidden").status, 404);
}

TEST_F(ModelsTest, OneThatCannotBeLoadedIs503AndTheOthersGoOn) {
  change_ = [](const fs::path& models) { write_file_atomic(models / "second/model.safetensors", "damaged"); };
  start_with({"own", "second"}, "server.models=second");
  const ClientResponse answer = complete("second");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(error_code(answer), "model_unavailable");
  EXPECT_EQ(complete("own").status, 200);
  make_model(models_ / "second", context_);
  EXPECT_EQ(complete("second").status, 200) << "it is tried again";
}

TEST_F(ModelsTest, OneThatIsLargerThanTheMemoryIsRefusedUnread) {
  change_ = [](const fs::path& models) {
    fs::resize_file(models / "second/model.safetensors", uintmax_t{1} << 42);  // a hole of 4 TB
  };
  start_with({"own", "second"}, "server.models=second");
  const ClientResponse answer = complete("second");
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.body, testing::HasSubstr("of memory are left"));
}

TEST_F(ModelsTest, ANameThatIsNoModelIsAProblemAndAPathIsRefused) {
  start_with({"own"}, "server.models=nothing, own");
  EXPECT_THAT(ok("GET", "/v1/info")["problems"].dump(), testing::HasSubstr("`nothing`"));
  EXPECT_EQ(names(), json({"own"}));
  for (const char* wrong : {"../own", "a/b", "..", ".x"}) {
    Config config = make_config();
    config.set(std::string("server.models=") + wrong);
    EXPECT_THROW(server_options(config), ConfigError) << wrong;
  }
}

}  // namespace
}  // namespace starling
