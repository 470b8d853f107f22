#include "search/vector_index.h"

#include <faiss/impl/IDSelector.h>
#include <faiss/utils/distances.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <mutex>
#include <shared_mutex>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"

namespace starling {
namespace {

namespace fs = std::filesystem;
constexpr float kSameCosine = 0.999f;  // two machines' rounding moves a cosine by 1e-5, another training by far more

fs::path header_path(const fs::path& index_folder) { return index_folder / "vectors.json"; }

fs::path generation_path(const fs::path& index_folder, const std::string& generation) {
  return index_folder / ("vectors-" + generation);
}

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// Lets faiss skip rows whose post the query's filters leave out.
struct AllowedRows : faiss::IDSelector {
  AllowedRows(std::span<const DocId> docids, const std::unordered_set<DocId>* allowed)
      : docids(docids), allowed(allowed) {}
  bool is_member(int64_t row) const override {
    const DocId docid = docids[static_cast<size_t>(row)];
    return docid != 0 && (!allowed || allowed->contains(docid));
  }
  std::span<const DocId> docids;
  const std::unordered_set<DocId>* allowed;
};

// What a kill in start() left behind, before or after the new header: vectors that no deletion would reach.
void remove_other_generations(const fs::path& index_folder, const std::string& generation) {
  std::vector<fs::path> others;
  for (const auto& entry : fs::directory_iterator(index_folder))
    if (const std::string name = entry.path().filename();
        name.starts_with("vectors-") && name != "vectors-" + generation)
      others.push_back(entry.path());
  for (const fs::path& other : others) fs::remove_all(other);
}

void overwrite(const fs::path& path, uint64_t offset, const std::string& bytes) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) throw io_error(path.string(), "open");
  const bool written =
      ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes.size());
  ::close(fd);
  if (!written) throw io_error(path.string(), "write");
}

}  // namespace

std::optional<VectorsHeader> read_vectors_header(const fs::path& index_folder) {
  const fs::path path = header_path(index_folder);
  if (!fs::exists(path)) return std::nullopt;
  try {
    const nlohmann::json json = parse_json(read_file(path));
    VectorsHeader header;
    header.model = json.at("model");
    header.hidden_size = json.at("hidden_size");
    header.probe = json.at("probe").get<std::vector<float>>();
    header.generation = json.at("generation");
    header.vector_weight = json.at("vector_weight");
    const bool safe =
        !header.generation.empty() && header.generation.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (header.hidden_size < 1 || header.probe.size() != static_cast<size_t>(header.hidden_size) || !safe)
      throw DataError(fmt::format("{}: hidden_size, probe and generation do not fit each other", path.string()));
    return header;
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("{}: {}; remove it and run `starling index`", path.string(), error.what()));
  }
}

bool same_embedder(const VectorsHeader& header, std::span<const float> probe) {
  return header.probe.size() == probe.size() && dot(header.probe, probe) > kSameCosine;
}

struct VectorIndex::State {
  fs::path rows_path, docids_path;
  size_t hidden_size = 0;
  VectorsHeader header;
  mutable std::shared_mutex mutex;
  MappedFile rows_file, docids_file;
  size_t count = 0;

  std::span<const float> rows() const {
    return {reinterpret_cast<const float*>(rows_file.bytes().data()), count * hidden_size};
  }
  std::span<const DocId> docids() const { return {reinterpret_cast<const DocId*>(docids_file.bytes().data()), count}; }

  // Binary search; erased rows (0) are passed over. The number of rows when there is none.
  size_t row_of(DocId docid) const {
    const std::span<const DocId> all = docids();
    for (size_t begin = 0, end = all.size(); begin < end;) {
      const size_t middle = begin + (end - begin) / 2;
      size_t at = middle;
      while (at < end && all[at] == 0) ++at;
      if (at < end && all[at] == docid) return at;
      if (at < end && all[at] < docid) begin = at + 1;
      else end = middle;
    }
    return all.size();
  }

  void map() {
    MappedFile rows(rows_path), docids(docids_path);  // both, before either replaces what is mapped
    rows_file = std::move(rows);
    docids_file = std::move(docids);
    count =
        std::min(rows_file.bytes().size() / (hidden_size * sizeof(float)), docids_file.bytes().size() / sizeof(DocId));
  }
};

void VectorIndex::save_header(const fs::path& index_folder, const VectorsHeader& header) {
  const nlohmann::json json = {{"model", header.model},
                               {"hidden_size", header.hidden_size},
                               {"probe", header.probe},
                               {"generation", header.generation},
                               {"vector_weight", header.vector_weight}};
  write_file_atomic(header_path(index_folder), dump_json(json));
}

VectorsHeader VectorIndex::start(const fs::path& index_folder, const std::string& model, std::span<const float> probe) {
  std::optional<VectorsHeader> older;
  try {
    older = read_vectors_header(index_folder);
  } catch (const DataError&) {
    older.reset();  // a damaged header is replaced
  }
  VectorsHeader header;
  header.model = model;
  header.hidden_size = static_cast<int64_t>(probe.size());
  header.probe.assign(probe.begin(), probe.end());
  header.generation = random_hex(8);
  const fs::path folder = generation_path(index_folder, header.generation);
  fs::create_directories(folder);
  write_file_atomic(folder / "rows.f32", "");
  write_file_atomic(folder / "docids.u32", "");
  save_header(index_folder, header);
  if (older) fs::remove_all(generation_path(index_folder, older->generation));
  return header;
}

VectorIndex::VectorIndex(const fs::path& index_folder, const VectorsHeader& header, Mode mode)
    : state_(std::make_unique<State>()) {
  const fs::path folder = generation_path(index_folder, header.generation);
  state_->rows_path = folder / "rows.f32";
  state_->docids_path = folder / "docids.u32";
  state_->hidden_size = static_cast<size_t>(header.hidden_size);
  state_->header = header;
  state_->map();
  if (mode == Mode::read) return;
  remove_other_generations(index_folder, header.generation);
  fs::resize_file(state_->rows_path, state_->count * state_->hidden_size * sizeof(float));
  fs::resize_file(state_->docids_path, state_->count * sizeof(DocId));
  state_->map();
}

VectorIndex::~VectorIndex() = default;

std::vector<VectorMatch> VectorIndex::find(std::span<const float> query, int limit,
                                           const std::unordered_set<DocId>* allowed) const {
  const std::shared_lock lock(state_->mutex);
  if (query.size() != state_->hidden_size)
    throw ShapeError(fmt::format("a query of {} values against vectors of {}", query.size(), state_->hidden_size));
  const size_t k = std::min(static_cast<size_t>(limit), state_->count);
  if (k == 0) return {};
  std::vector<float> cosines(k);
  std::vector<int64_t> rows(k);
  const AllowedRows selector(state_->docids(), allowed);
  faiss::knn_inner_product(query.data(), state_->rows().data(), state_->hidden_size, 1, state_->count, k,
                           cosines.data(), rows.data(), &selector);
  std::vector<VectorMatch> out;
  for (size_t i = 0; i < k; ++i)
    if (rows[i] >= 0) out.push_back({state_->docids()[static_cast<size_t>(rows[i])], cosines[i]});
  return out;
}

std::vector<VectorMatch> VectorIndex::cosines(std::span<const float> query, const std::vector<DocId>& docids) const {
  const std::shared_lock lock(state_->mutex);
  const std::span<const DocId> all = state_->docids();
  std::vector<VectorMatch> out;
  for (const DocId docid : docids) {
    const size_t row = state_->row_of(docid);
    if (row == all.size()) continue;
    const std::span<const float> values = state_->rows().subspan(row * state_->hidden_size, state_->hidden_size);
    out.push_back({docid, static_cast<float>(dot(query, values))});
  }
  return out;
}

std::vector<float> VectorIndex::row(DocId docid) const {
  const std::shared_lock lock(state_->mutex);
  const size_t at = state_->row_of(docid);
  if (at == state_->count) return {};
  const std::span<const float> values = state_->rows().subspan(at * state_->hidden_size, state_->hidden_size);
  return {values.begin(), values.end()};
}

void VectorIndex::append(const std::vector<DocId>& docids, const std::vector<std::vector<float>>& rows) {
  const std::unique_lock lock(state_->mutex);
  std::string row_bytes;
  for (const std::vector<float>& row : rows) {
    if (row.size() != state_->hidden_size)
      throw ShapeError(
          fmt::format("{}: a row of {} values, not {}", state_->rows_path.string(), row.size(), state_->hidden_size));
    row_bytes.append(reinterpret_cast<const char*>(row.data()), row.size() * sizeof(float));
  }
  // Rows are durable before the docids that make them count; what an append that failed left behind goes first.
  fs::resize_file(state_->rows_path, state_->count * state_->hidden_size * sizeof(float));
  fs::resize_file(state_->docids_path, state_->count * sizeof(DocId));
  AppendFile row_file(state_->rows_path);
  row_file.append(row_bytes);
  row_file.sync();
  AppendFile docid_file(state_->docids_path);
  docid_file.append({reinterpret_cast<const char*>(docids.data()), docids.size() * sizeof(DocId)});
  docid_file.sync();
  state_->map();
}

void VectorIndex::erase(const std::vector<DocId>& docids) {
  if (docids.empty()) return;
  const std::unique_lock lock(state_->mutex);
  const std::unordered_set<DocId> gone(docids.begin(), docids.end());
  const std::string zero_row(state_->hidden_size * sizeof(float), '\0'), zero_docid(sizeof(DocId), '\0');
  for (size_t row = 0; row < state_->count; ++row) {
    if (!gone.contains(state_->docids()[row])) continue;
    overwrite(state_->rows_path, row * zero_row.size(), zero_row);
    overwrite(state_->docids_path, row * zero_docid.size(), zero_docid);
  }
  sync_path(state_->rows_path);
  sync_path(state_->docids_path);
  state_->map();
}

void VectorIndex::refresh() {
  const std::unique_lock lock(state_->mutex);
  try {
    state_->map();
  } catch (const IoError&) {
    // The files are gone: the vectors were made anew, maybe by another model. Those that are mapped fit this one.
  }
}

DocId VectorIndex::last_docid() const {
  const std::shared_lock lock(state_->mutex);
  const std::span<const DocId> docids = state_->docids();
  return docids.empty() ? 0 : *std::max_element(docids.begin(), docids.end());
}

std::vector<DocId> VectorIndex::docids() const {
  const std::shared_lock lock(state_->mutex);
  std::vector<DocId> found;
  std::copy_if(state_->docids().begin(), state_->docids().end(), std::back_inserter(found),
               [](DocId docid) { return docid != 0; });
  return found;
}

const VectorsHeader& VectorIndex::header() const { return state_->header; }

uint64_t VectorIndex::size() const {
  const std::shared_lock lock(state_->mutex);
  return state_->count;
}

}  // namespace starling
