#include "train/finetuned_model.h"

#include <vector>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "model/model_folder.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

std::string lineage_json(const FineTuneLineage& lineage) {
  nlohmann::ordered_json json = {{"base", lineage.base}, {"objective", lineage.objective}};
  if (!lineage.data.empty())
    json.update({{"data", lineage.data.filename().string()}, {"data_sha256", sha256_file_hex(lineage.data)}});
  if (lineage.result.steps > 0)
    json.update({{"examples", lineage.result.examples},
                 {"steps", lineage.result.steps},
                 {"loss_before", lineage.result.loss_before},
                 {"loss_after", lineage.result.loss_after}});
  if (!lineage.general.empty())
    json.update({{"general", lineage.general.filename().string()},
                 {"general_sha256", sha256_file_hex(lineage.general)},
                 {"general_share", lineage.general_share},
                 {"general_loss_before", lineage.result.general_before},
                 {"general_loss_after", lineage.result.general_after}});
  return dump_json(json, 2) + "\n";
}

}  // namespace

void save_seen(const fs::path& base_folder, const FineTuneLineage& lineage, const fs::path& path) {
  std::vector<fs::path> folders = {base_folder};
  if (!lineage.adapter.empty()) folders.push_back(lineage.adapter / "..");
  std::erase_if(folders, [](const fs::path& folder) { return !fs::exists(folder / "seen.bin"); });
  SeenIds seen = lineage.seen;
  for (const fs::path& folder : folders) seen.merge(folder / "seen.bin");
  if (!folders.empty() || seen.size() > 0) seen.save(path);
}

void save_finetuned(Transformer& model, const fs::path& base_folder, const fs::path& target,
                    const FineTuneLineage& lineage) {
  write_folder_atomic(target, [&](const fs::path& hidden) {
    if (Lora* lora = model.lora()) {
      fs::create_directories(hidden / "adapter");
      lora->save(hidden / "adapter", lineage.base);
      lora->merge_into(model.parameters());
    }
    save_model(model.config(), model.parameters(), hidden);
    for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"})
      if (fs::exists(base_folder / name)) write_file_atomic(hidden / name, read_file(base_folder / name));
    save_seen(base_folder, lineage, hidden / "seen.bin");
    write_file_atomic(hidden / "lineage.json", lineage_json(lineage));
  });
}

}  // namespace starling
