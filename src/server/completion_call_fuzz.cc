#include "core/fuzz.h"
#include "core/progress.h"
#include "infer/test_model.h"
#include "server/completion_call.h"
#include "server/json_body.h"
#include "server/platform.h"

namespace starling {
namespace {

// A platform with a small model: bodies are read and checked, nothing is generated.
class FuzzPlatform {
 public:
  FuzzPlatform() : workspace_(Workspace::create(folder_.path() / "workspace", "")) {
    std::filesystem::create_directories(workspace_.model("own").parent_path());
    std::filesystem::copy(model_.folder(), workspace_.model("own"), std::filesystem::copy_options::recursive);
    std::vector<ConfigKey> keys = server_config_keys();
    for (const ConfigKey& key : search_config_keys()) keys.push_back(key);
    for (const ConfigKey& key : ads_config_keys()) keys.push_back(key);
    const Config config(keys);
    platform_ = std::make_unique<Platform>(workspace_, config, server_options(config));
  }
  Platform& get() { return *platform_; }

 private:
  FuzzFolder folder_;
  TestModel model_;
  Workspace workspace_;
  std::unique_ptr<Platform> platform_;
};

}  // namespace
}  // namespace starling

// Which route the body is for, then the body.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  static FuzzPlatform platform;
  std::string_view input = text_of(data, size);
  const uint8_t choice = take_choice(input);
  Request request{.method = "POST", .body = std::string(input)};
  may_be_refused(
      [&] { choice % 2 == 0 ? read_chat_call(platform.get(), request) : read_text_call(platform.get(), request); });
  return 0;
}
