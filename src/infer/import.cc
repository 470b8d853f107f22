#include "infer/import.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "infer/chat_template.h"
#include "infer/importers.h"
#include "infer/weights.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

std::string detect_format(const fs::path& from) {
  if (fs::is_directory(from) || from.extension() == ".safetensors") return "safetensors";
  std::ifstream file(from, std::ios::binary);
  char magic[4] = {};
  file.read(magic, sizeof magic);
  if (std::string_view(magic, sizeof magic) == "GGUF") return "gguf";
  throw ConfigError(
      fmt::format("{}: neither GGUF nor safetensors; name the format with --format (llama2c has no mark of its own)",
                  from.string()));
}

void check_digest(const fs::path& from, const std::string& wanted) {
  if (wanted.empty()) return;
  if (fs::is_directory(from)) throw ConfigError("--sha256 is for a single file, not for a folder");
  const std::string found = sha256_file_hex(from);
  if (found != wanted) {
    throw DataError(fmt::format("{}: SHA-256 is {}, not {}; the file is damaged or another one, fetch it again",
                                from.string(), found, wanted));
  }
}

// The tokenizer that the user names instead of the model's own; tiktoken's ranks become JSON.
void take_tokenizer(const fs::path& given, const fs::path& folder) {
  const std::unique_ptr<Tokenizer> tokenizer = Tokenizer::load(given);  // an error names this file, not its copy
  if (given.extension() == ".tiktoken") tokenizer->save(folder / "tokenizer.json");
  else link_or_copy(given, folder / "tokenizer.json");
}

// What an error says of a file in the `hidden` folder, which is gone when it is read, said of what the user gave.
std::string as_given(const std::string& message, const fs::path& hidden, const fs::path& from,
                     const std::string& format) {
  if (!message.starts_with(hidden.string())) return message;
  const size_t name_begin = hidden.string().size(), name_end = std::min(message.find(':', name_begin), message.size());
  const fs::path name = fs::path(message.substr(name_begin, name_end - name_begin)).filename();
  if (name.extension() == ".tmp") return message;  // it could not be written: the place says on which disk
  const bool beside = format == "safetensors" && !name.string().starts_with("model.");
  const fs::path given = name.empty()             ? from
                         : fs::is_directory(from) ? from / name
                         : beside                 ? from.parent_path() / name
                                                  : from;
  return given.string() + message.substr(name_end);
}

// Every tensor that the config asks for is there with its shape, and the tokenizer belongs to it.
ImportReport check_model(const fs::path& folder, const fs::path& from) {
  const ModelConfig config = ModelConfig::load(folder / "config.json");
  const std::unique_ptr<Tokenizer> tokenizer = Tokenizer::load(folder / "tokenizer.json");
  if (tokenizer->vocab_size() > config.vocab_size) {
    throw DataError(fmt::format("{}: the tokenizer has {} tokens, the model {}", from.string(), tokenizer->vocab_size(),
                                config.vocab_size));
  }
  const std::unique_ptr<WeightSource> source = open_weights(folder, config);
  for (const ParameterShape& parameter : parameter_shapes(config)) {
    const std::vector<int64_t> shape = source->open(parameter.name)->shape();
    if (shape != parameter.shape) {
      throw DataError(fmt::format("{}: tensor {} has the shape [{}], the config asks for [{}]", from.string(),
                                  parameter.name, fmt::join(shape, ", "), fmt::join(parameter.shape, ", ")));
    }
  }
  ImportReport report{.parameters = config.parameter_count(), .weight_bytes = weight_file_bytes(folder)};
  if (const auto chat_template = load_chat_template(folder)) report.chat_template = chat_template->name;
  else report.unknown_chat_template = !chat_template_text(folder).empty();
  return report;
}

}  // namespace

void link_or_copy(const fs::path& from, const fs::path& to) {
  std::error_code error;
  const fs::path file = fs::canonical(from, error);  // Hugging Face's cache is a folder of symbolic links
  if (error) throw IoError(fmt::format("{}: {}", from.string(), error.message()));
  fs::create_hard_link(file, to, error);
  if (!error) return;
  fs::copy_file(from, to, error);
  if (error) throw IoError(fmt::format("{}: copy to {}: {}", from.string(), to.string(), error.message()));
}

ImportReport import_model(const fs::path& from, const fs::path& folder, const ImportOptions& options) {
  if (!fs::exists(from)) throw IoError(fmt::format("{}: no such file or folder", from.string()));
  if (fs::exists(folder) && !options.replace) {
    throw ConfigError(fmt::format("{}: exists already; choose another --name or say --replace", folder.string()));
  }
  check_digest(from, options.sha256);
  const std::string format = options.format == "auto" ? detect_format(from) : options.format;
  ImportReport report;
  write_folder_atomic(folder, [&](const fs::path& hidden) {
    try {
      if (!options.tokenizer_json.empty()) take_tokenizer(options.tokenizer_json, hidden);
      if (format == "safetensors") import_huggingface(from, hidden);
      else if (format == "gguf") import_gguf(from, hidden);
      else if (format == "llama2c") import_llama2c(from, hidden);
      else throw ConfigError(fmt::format("format {} is not known; auto, safetensors, gguf and llama2c are", format));
      report = check_model(hidden, from);
    } catch (const DataError& error) {
      throw DataError(as_given(error.what(), hidden, from, format));
    } catch (const IoError& error) {
      throw IoError(as_given(error.what(), hidden, from, format));
    }
    for (const fs::directory_entry& entry : fs::directory_iterator(hidden)) sync_path(entry.path());
  });
  report.format = format;
  return report;
}

}  // namespace starling
