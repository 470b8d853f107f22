#include "train/trainer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>

#include "comm/communicator.h"
#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/stop.h"
#include "core/time.h"
#include "model/model_folder.h"
#include "ops/elementwise.h"
#include "ops/machine_limits.h"
#include "posts/language.h"
#include "posts/post_store.h"
#include "store/control_db.h"
#include "train/bigram_start.h"
#include "train/checkpoint.h"
#include "train/data_parallel.h"
#include "train/evaluate.h"
#include "train/finetune_checkpoint.h"
#include "train/model_card.h"
#include "train/products.h"
#include "train/run_log.h"

namespace starling {
namespace {

constexpr int64_t kMostSkippedInRow = 10;
constexpr uint64_t kProbedSamples = 8;  // to see whether the finished weights give numbers
constexpr int64_t kFirstPlan = 10;      // step at which a time budget becomes a number of steps; it lies in the warm-up
constexpr int64_t kSlowSteps = 3, kLeastMeasured = 7;  // the first of a process are no measure; how many a plan needs
constexpr int64_t kEndless = int64_t{1} << 40;         // steps, of a run whose decay is far away

// One rank of a run. What only rank 0 has is empty on the others: the database, the loader, the log, the guard.
class Trainer {
 public:
  Trainer(const Workspace& workspace, const Config& config, std::string name, Communicator& world)
      : world_(world),
        workspace_(workspace),
        name_(std::move(name)),
        options_(train_options(config)),
        folder_(workspace.run(name_)),
        db_(is_root() ? std::make_shared<ControlDb>(workspace.control_db()) : nullptr),
        train_shards_(workspace.shards(), "train"),
        valid_shards_(workspace.shards(), "valid"),
        train_(newest_of(source_of(train_shards_, mask_of(db_)), static_cast<uint64_t>(options_.newest_samples))),
        valid_(source_of(valid_shards_, mask_of(db_))),
        model_config_(read_model_config(config)),
        model_(model_config_, options_.compute(), std::max(options_.micro_batch_tokens, model_config_.max_positions),
               {.recompute = options_.recompute ? Recompute::blocks : Recompute::none, .device = options_.device}),
        optimizer_(model_.parameters(), options_.optimizer == "muon") {
    if (options_.device != Device::cpu && world_.size() > 1)
      throw ConfigError("train.device = cuda is one process with one GPU: start it without mpirun");
    if (options_.batch_rows() < world_.size())
      throw ConfigError(
          fmt::format("{} ranks share the {} sequences of a step: raise train.batch_tokens or start fewer ranks",
                      world_.size(), options_.batch_rows()));
  }

  TrainResult run(const Config& config, bool resume) {
    use_products(options_.product_kernels());
    if (is_root()) start(config, resume);
    share_start();
    measure_peak();
    if (is_root()) {
      loader_ = std::make_unique<DataLoader>(train_, options_.seed, static_cast<int32_t>(model_config_.bos_token),
                                             state_.cursor, [this](const Sample& sample) { note(sample); });
      log_ = std::make_unique<RunLog>(folder_, state_.step);
      guard_ = SpikeGuard(options_.spike_deviations, state_.spikes);
      noise_ = NoiseScale(state_.noise);
    }
    loop();
    measure_peak();
    return stopped_ || !is_root() ? result() : finish();
  }

 private:
  bool is_root() const { return world_.rank() == 0; }

  // Before and after training, and the larger counts: a busy moment must not look like a slow machine.
  void measure_peak() {
    world_.barrier();  // measured at the same time, ranks of one machine share its peak
    peak_flops_ = std::max(peak_flops_, world_.all_reduce_sum(measure_peak_flops(options_.compute(), options_.device)));
  }

  std::filesystem::path checkpoints() const { return folder_ / "checkpoints"; }
  std::filesystem::path schedule_file() const { return folder_ / "schedule.json"; }

  ModelConfig read_model_config(const Config& config) const {
    require_tokenizer_of(train_shards_, workspace_);
    const auto tokenizer = Tokenizer::load(workspace_.tokenizer());
    const auto special = [&](const char* text) {
      const auto id = tokenizer->special_id(text);
      if (!id) throw DataError(fmt::format("{}: no special token {}", workspace_.tokenizer().string(), text));
      return static_cast<int64_t>(*id);
    };
    return model_config(config, tokenizer->vocab_size(), special(kBeginToken), special(kEndToken));
  }

  // From the last checkpoint, or from the seed.
  void start(const Config& config, bool resume) {
    if (!resume) std::filesystem::remove_all(folder_);  // not before the settings and the shards were found good
    state_.total_steps = options_.steps;
    const std::string shards = sha256_file_hex(workspace_.shards() / "manifest.json");
    if (const auto checkpoint = latest_checkpoint(checkpoints())) {
      state_ = load_checkpoint(*checkpoint, model_.parameters(), optimizer_);
      seen_.merge(*checkpoint / "seen.bin");
      if (state_.shards_sha256 != shards)
        throw DataError(
            fmt::format("the shards changed since {}; train anew (without --resume)", checkpoint->string()));
    } else {
      begin();
    }
    if (std::filesystem::exists(schedule_file())) read_schedule();  // perhaps made after the checkpoint
    if (state_.step > 0) spdlog::info("resuming {} at step {} of {}", name_, state_.step, state_.total_steps);
    state_.shards_sha256 = shards;
    std::filesystem::create_directories(checkpoints());
    write_file_atomic(folder_ / "starling.toml", config.to_toml());
  }

  void begin() {
    model_.parameters().initialize(options_.seed);
    const bool starts_from_bigrams =
        options_.start == "bigrams" && !model_config_.tied_head && !model_config_.is_grok1();
    if (starts_from_bigrams && train_.count > 0)
      state_.counted_samples = start_from_bigrams(model_.parameters(), model_config_, train_, options_.seed,
                                                  static_cast<TokenId>(model_config_.bos_token),
                                                  [this](const Sample& sample) { note(sample); });
  }

  // Rank 0 has read or made the start; the other ranks get its bytes, whatever files they see.
  void share_start() {
    share(world_, state_.step);
    share(world_, state_.tokens);
    share(world_, state_.total_steps);
    share(world_, model_.parameters().values());
    share(world_, optimizer_.first_moment());
    share(world_, optimizer_.second_moment());
    if (!is_root()) model_.parameters().refresh_compute();
  }

  // Ranks get a signal at different moments, or only one of them gets it: all end after the same step.
  bool stop_agreed() { return world_.all_reduce_sum(stop_requested() ? 1.0 : 0.0) > 0; }

  void loop() {
    std::optional<Progress> progress;
    if (is_root())
      progress.emplace("train " + name_, static_cast<uint64_t>(state_.total_steps), "steps",
                       static_cast<uint64_t>(state_.step));
    while (state_.total_steps == 0 || state_.step < state_.total_steps) {
      if (stopped_ = stop_agreed(); stopped_) return stop();
      if (options_.steps == 0 && is_planned_at(state_.step)) plan();
      const double begin = monotonic_s();
      step();
      note_time(monotonic_s() - begin);
      after_step();
      if (is_root()) show(*progress);
    }
  }

  // The mean counts late steps most: those of the older half weigh a sixteenth, so that a busy beginning is forgotten.
  void note_time(double seconds) {
    state_.seconds += seconds;
    if (++timed_steps_ <= kSlowSteps) return;
    const auto measured = static_cast<double>(timed_steps_ - kSlowSteps);
    seconds_per_step_ += (seconds - seconds_per_step_) * 4 / (measured + 3);
  }

  // From the first plan on four times while the steps double.
  static bool is_planned_at(int64_t step) {
    return step >= kFirstPlan && step % static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(step)) / 4) == 0;
  }

  void plan() {
    if (is_root()) plan_steps();
    share(world_, state_.total_steps);
  }

  // Turns the time budget into a number of steps, and again by the speed measured since, as long as no rate so far
  // depends on it: until the decay. A plan is on disk before it is used, so that a resumed run has the same schedule
  // from any checkpoint. A tenth is kept for evaluation and checkpoints.
  void plan_steps() {
    const Schedule schedule = options_.learning_rate_schedule();
    const int64_t before = state_.total_steps;
    if (state_.step <= planned_step_ || timed_steps_ < kSlowSteps + kLeastMeasured) return;
    if (before > 0 && !schedule.agrees(state_.step, before, kEndless)) return;
    const double left = options_.minutes * 60 * 0.9 - state_.seconds;
    const auto steps = static_cast<int64_t>(std::max(left, 0.0) / std::max(seconds_per_step_, 1e-6));
    const int64_t total = state_.step + std::max<int64_t>(1, steps);
    if (before == 0 || schedule.agrees(state_.step, before, total)) state_.total_steps = total;
    planned_step_ = state_.step;
    const nlohmann::ordered_json json = {{"total_steps", state_.total_steps}, {"planned_at", planned_step_}};
    write_file_atomic(schedule_file(), dump_json(json) + "\n");
    if (std::abs(state_.total_steps - before) * 10 > before)  // by more than a tenth
      spdlog::info("{:.2f} s a step: {} steps fit into {:g} minutes", seconds_per_step_, state_.total_steps,
                   options_.minutes);
  }

  void read_schedule() {
    const nlohmann::json json = try_parse_json(read_file(schedule_file()));
    if (!json.is_object() || !json.contains("total_steps"))
      throw DataError(fmt::format("{}: damaged; delete the run and train anew", schedule_file().string()));
    state_.total_steps = json["total_steps"];
    planned_step_ = json.value("planned_at", kFirstPlan);
  }

  void step() {
    accumulate_gradients();
    bool admitted = is_root() && guard_.admit(loss_, gradient_norm_);
    share(world_, admitted);
    if (admitted) update();
    else if (is_root()) skip();
    state_.step += 1;
    state_.tokens += options_.batch_tokens;
    if (!is_root()) return;
    state_.cursor = loader_->cursor();
    state_.spikes = guard_.state();
    state_.noise = noise_.state();
  }

  // This rank's rows of the next global batch. Rank 0 reads for all, so that a deletion counts for all at once.
  Batch next_rows() {
    Batch all{options_.batch_rows(), options_.sequence_length, {}, {}, {}, {}};
    if (is_root()) all = loader_->next(all.sequences, all.length);
    share(world_, all);
    return take_rows(all, rows_of_rank(all.sequences, world_.rank(), world_.size()));
  }

  void accumulate_gradients() {
    Parameters& parameters = model_.parameters();
    parameters.zero_gradients();
    const Batch own = next_rows();
    const int64_t micro_rows = options_.micro_batch_tokens / options_.sequence_length;
    const CrossEntropyLoss loss{1.0f / static_cast<float>(options_.batch_tokens), options_.z_loss};
    double nats = 0, first_square = 0, first_tokens = 0;
    for (int64_t row = 0; row < own.sequences; row += micro_rows) {
      const Batch micro = take_rows(own, {row, std::min(micro_rows, own.sequences - row)});
      nats += model_.train(micro, loss);
      if (row > 0 || micro.size() == options_.batch_tokens || !is_root()) continue;
      first_square = sum_of_squares(parameters.gradients());
      first_tokens = static_cast<double>(micro.size());
    }
    world_.all_reduce_sum(parameters.gradients());
    loss_ = world_.all_reduce_sum(nats) / static_cast<double>(options_.batch_tokens);
    const double square = sum_of_squares(parameters.gradients());
    gradient_norm_ = std::sqrt(square);
    share(world_, gradient_norm_);
    if (first_tokens > 0 && std::isfinite(square)) add_noise(first_square, first_tokens, square);
  }

  // The gradient of a part has the scale of the whole: 1 / batch_tokens for each token.
  void add_noise(double part_square, double part_tokens, double square) {
    const auto tokens = static_cast<double>(options_.batch_tokens);
    const double scale = tokens / part_tokens;
    noise_.add(part_tokens, part_square * scale * scale, tokens, square);
  }

  void update() {
    const bool clip = options_.clip_norm > 0 && gradient_norm_ > static_cast<double>(options_.clip_norm);
    const auto factor = static_cast<float>(options_.learning_rate_schedule().factor(state_.step, schedule_steps()));
    learning_rate_ = options_.learning_rate * factor;
    optimizer_.step(
        {.step = state_.step + 1,
         .learning_rate = learning_rate_,
         .embedding_learning_rate = options_.embedding_learning_rate * factor,
         .weight_decay = options_.weight_decay,
         .gradient_scale = clip ? static_cast<float>(static_cast<double>(options_.clip_norm) / gradient_norm_) : 1.0f});
  }

  bool is_finite() const { return std::isfinite(loss_ + gradient_norm_); }  // what the last step gave

  Error divergence(int64_t step) const {
    return Error(fmt::format("training diverged at step {} (loss {}); lower train.learning_rate in {} and resume", step,
                             loss_, (folder_ / "starling.toml").string()));
  }

  // One batch may give what is no number; several in a row say that the weights do.
  void skip() {
    if (!is_finite() && guard_.state().skipped_in_row >= kMostSkippedInRow) throw divergence(state_.step + 1);
    spdlog::warn("step {}: loss {:.3f}, gradient norm {:.3f} stand out; the update is skipped", state_.step + 1, loss_,
                 gradient_norm_);
  }

  // Norms of consecutive parts of the flat memory: embedding, each block, what follows the blocks.
  std::vector<double> norms_by_part(Tensor flat) const {
    std::vector<double> squares(static_cast<size_t>(model_config_.num_layers) + 2, 0.0);
    for (const Parameter& p : model_.parameters().list()) {
      size_t part = p.offset == 0 ? 0 : squares.size() - 1;
      if (constexpr std::string_view kBlocks = "model.layers."; p.name.starts_with(kBlocks))
        part = 1 + static_cast<size_t>(std::stoll(p.name.substr(kBlocks.size())));
      squares[part] += sum_of_squares(flat.rows(p.offset, p.elements));
    }
    for (double& square : squares) square = std::sqrt(square);
    return squares;
  }

  int64_t schedule_steps() const { return state_.total_steps > 0 ? state_.total_steps : kEndless; }

  void after_step() {
    const bool due = state_.step % options_.checkpoint_interval == 0 && state_.step != state_.total_steps;
    if (due) check_weights();
    if (!is_root()) return;
    losses_ += loss_;
    ++losses_count_;
    const bool last = state_.step == state_.total_steps;
    const bool evaluate = options_.evaluation_interval > 0 && state_.step % options_.evaluation_interval == 0 && !last;
    if (evaluate || last || state_.step % options_.log_interval == 0) log(evaluate);
    if (due && is_finite()) checkpoint();  // weights that diverged do not take the place of good ones
  }

  void check_weights() {
    check_same(world_, model_.parameters().values(), fmt::format("the weights at step {}", state_.step));
  }

  double tokens_per_s() const { return static_cast<double>(state_.tokens) / std::max(state_.seconds, 1e-9); }
  double flops_per_s() const { return tokens_per_s() * model_config_.train_flops_per_token(options_.sequence_length); }

  void log(bool evaluate) {
    LogPoint point{state_.step,
                   state_.tokens,
                   losses_ / static_cast<double>(losses_count_),
                   std::nullopt,
                   tokens_per_s(),
                   flops_per_s() / peak_flops_,
                   static_cast<double>(learning_rate_),
                   gradient_norm_,
                   state_.seconds,
                   state_.spikes.skipped,
                   noise_.tokens(),
                   norms_by_part(model_.parameters().gradients()),
                   norms_by_part(model_.parameters().values()),
                   {}};
    for (const ExpertLoad& load : model_.expert_loads()) point.largest_expert_shares.push_back(load.largest_share());
    if (evaluate && valid_.count > 0) {
      // A stop must reach the loop, which saves what was trained.
      const SplitScore score =
          score_split(model_, spread_of(valid_, static_cast<uint64_t>(options_.evaluation_samples)),
                      {.batch_tokens = options_.micro_batch_tokens, .progress = "", .ends_with_a_stop = true});
      if (!stop_requested()) point.validation_bits_per_byte = score.bits_per_byte();
    }
    add_point(point);
  }

  void add_point(const LogPoint& point) {
    log_->add(point);
    log_->plot();
    losses_ = 0;
    losses_count_ = 0;
  }

  void show(Progress& progress) const {
    progress.set_total(static_cast<uint64_t>(state_.total_steps));  // of a time budget it is planned on the way
    progress.update(static_cast<uint64_t>(state_.step),
                    fmt::format("loss {:.3f}, {:.0f} tokens/s, {:.0f} % of peak", loss_, tokens_per_s(),
                                flops_per_s() / peak_flops_ * 100));
  }

  void note(const Sample& sample) {
    seen_.add("post", sample.post_id);
    seen_.add("author", sample.author);
  }

  void checkpoint() {
    save_checkpoint(checkpoints(), model_config_, model_.parameters(), optimizer_, state_, seen_,
                    workspace_.tokenizer(), options_.keep_checkpoints);
  }

  // Before a time budget is planned there is nothing worth keeping, the run starts again with the same bits; nor are
  // weights that diverged.
  void stop() {
    check_weights();
    if (is_root() && state_.total_steps > 0 && is_finite()) checkpoint();
  }

  // The last update has no step after it that would tell.
  void check_divergence() {
    const SplitScore score =
        score_split(model_, spread_of(train_, kProbedSamples),
                    {.batch_tokens = options_.micro_batch_tokens, .progress = "", .ends_with_a_stop = true});
    if (!std::isfinite(score.nats)) throw divergence(state_.step);
  }

  TrainResult finish() {
    check_divergence();
    checkpoint();  // before the evaluation, which may be long and may be stopped
    TrainResult summary = result();
    if (valid_.count > 0) {
      const SplitScore score =
          score_split(model_, spread_of(valid_, static_cast<uint64_t>(options_.final_evaluation_samples)),
                      {.batch_tokens = options_.micro_batch_tokens, .ends_with_a_stop = true});
      summary.validation_samples = score.samples, summary.validation_bits_per_byte = score.bits_per_byte();
      if (stopped_ = stop_requested(); stopped_) return result();
      log_validation(summary.validation_bits_per_byte);
    }
    const DataSummary data = summarize_data();
    if (stopped_ = stop_requested(); stopped_) return result();  // of a part of the posts
    const std::string card = model_card(summary, model_config_, options_, data);
    write_model(card);
    write_file_atomic(folder_ / "card.md", card);  // last: with a model, even an older one, it says that all is done
    return summary;
  }

  // Beside the last step's line, which a crash may have taken.
  void log_validation(double bits_per_byte) {
    if (log_->points().empty()) return;
    LogPoint last = log_->points().back();
    last.validation_bits_per_byte = bits_per_byte;
    add_point(last);
  }

  void write_model(const std::string& card) {
    write_folder_atomic(workspace_.model(name_), [&](const std::filesystem::path& hidden) {
      save_model(model_config_, model_.parameters(), hidden);
      write_file_atomic(hidden / "tokenizer.json", read_file(workspace_.tokenizer()));
      write_file_atomic(hidden / "README.md", card);
      write_file_atomic(hidden / "lineage.json", lineage_json());
      seen_.save(hidden / "seen.bin");
    });
  }

  std::string lineage_json() const {
    const nlohmann::ordered_json json = {{"run", name_},
                                         {"step", state_.step},
                                         {"tokens", state_.tokens},
                                         {"shards_sha256", state_.shards_sha256},
                                         {"seed", options_.seed},
                                         {"ranks", world_.size()},
                                         {"newest_samples", options_.newest_samples},
                                         {"tombstone_version", db_->tombstone_version()}};
    return dump_json(json, 2) + "\n";
  }

  DataSummary summarize_data() const {
    DataSummary data;
    for (uint64_t i = 0; i < train_.count; ++i) {
      const Sample sample = train_.read(i);
      if (train_.is_masked(sample)) {
        data.masked_samples += 1;
        continue;
      }
      if (data.samples++ == 0) data.first_time_s = data.last_time_s = sample.time_s;
      data.tokens += static_cast<int64_t>(sample.tokens.size());
      data.text_bytes += sample.text_bytes;
      data.first_time_s = std::min(data.first_time_s, sample.time_s);
      data.last_time_s = std::max(data.last_time_s, sample.time_s);
    }
    if (std::filesystem::exists(workspace_.posts()))
      PostStore(workspace_.posts()).for_each([&](const Post& post) {
        if (!db_->is_deleted(post.id, post.author))
          data.posts_per_language[post.language.empty() ? detect_language(post.text) : post.language] += 1;
        return !stop_requested();
      });
    return data;
  }

  TrainResult result() const {
    TrainResult r;
    r.name = name_;
    r.rank = world_.rank();
    r.ranks = world_.size();
    r.parameters = model_config_.parameter_count();
    r.steps = state_.step;
    r.total_steps = state_.total_steps;
    r.tokens = state_.tokens;
    r.epochs_begun = state_.cursor.epoch + 1;
    if (is_root() && !log_->points().empty()) r.loss = log_->points().back().loss;
    r.seconds = state_.seconds;
    r.tokens_per_s = tokens_per_s();
    r.tflops = flops_per_s() / 1e12;
    r.peak_tflops = peak_flops_ / 1e12;
    r.fraction_of_peak = flops_per_s() / peak_flops_;
    r.precision = name_of(options_.compute());
    r.products = name_of(options_.product_kernels());
    r.counted_samples = state_.counted_samples;
    r.skipped_steps = state_.spikes.skipped;
    r.noise_scale_tokens = noise_.tokens();
    r.stopped = stopped_;
    return r;
  }

  Communicator& world_;
  const Workspace workspace_;
  const std::string name_;
  const TrainOptions options_;
  const std::filesystem::path folder_;
  std::shared_ptr<ControlDb> db_;
  ShardReader train_shards_, valid_shards_;
  SampleSource train_, valid_;
  ModelConfig model_config_;
  Transformer model_;
  Optimizer optimizer_;
  std::unique_ptr<DataLoader> loader_;
  SeenIds seen_;
  std::unique_ptr<RunLog> log_;
  TrainState state_;
  SpikeGuard guard_;
  NoiseScale noise_;
  double peak_flops_ = 1, loss_ = 0, losses_ = 0, gradient_norm_ = 0;
  int64_t losses_count_ = 0;
  int64_t timed_steps_ = 0, planned_step_ = 0;  // steps of this process; the step of the last plan
  double seconds_per_step_ = 0;
  bool stopped_ = false;
  float learning_rate_ = 0;
};

bool is_finished(const Workspace& workspace, const std::filesystem::path& run, const std::string& name) {
  return std::filesystem::exists(run / "card.md") &&
         std::filesystem::exists(workspace.model(name) / "model.safetensors");
}

// The settings that a run has, on rank 0: a resumed run's are those saved with it, and one whose settings do not name
// its products is of a time when all were oneDNN's.
void prepare_run(const Workspace& workspace, const TrainRequest& request, Config& config) {
  const std::filesystem::path run = workspace.run(request.name), tuning = tuning_folder(workspace, request.name);
  if (std::filesystem::exists(tuning))
    throw ConfigError(
        fmt::format("a finetune of the name {} is not finished: go on with finetune --resume, take "
                    "another --name, or delete {}",
                    request.name, tuning.string()));
  if (request.resume) {
    if (is_finished(workspace, run, request.name))
      throw ConfigError(fmt::format("run {} is finished; train without --resume to start anew", request.name));
    if (!std::filesystem::exists(run / "starling.toml")) return;
    config.set("train.products=onednn");
    config.load_file(run / "starling.toml");
    return;
  }
  if (is_unfinished_run(workspace, request.name))
    throw ConfigError(fmt::format("run {} is not finished: go on with --resume, take another --name, or delete {}",
                                  request.name, run.string()));
}

TrainResult train_rank(const Workspace& workspace, Config config, const TrainRequest& request, Communicator& world) {
  std::optional<FileLock> lock;
  if (world.rank() == 0) {
    std::filesystem::create_directories(workspace.runs());
    lock.emplace(workspace.model_lock(request.name), "train " + request.name);
    prepare_run(workspace, request, config);
    settle_products(config);
  }
  std::string settings = config.to_toml();
  share(world, settings);
  config.load_text(settings, "settings of rank 0");
  return Trainer(workspace, config, request.name, world).run(config, request.resume);
}

}  // namespace

bool is_unfinished_run(const Workspace& workspace, const std::string& name) {
  const std::filesystem::path run = workspace.run(name);
  return std::filesystem::exists(run / "checkpoints" / "latest") && !is_finished(workspace, run, name);
}

TrainResult train(const Workspace& workspace, const Config& config, const TrainRequest& request, Communicator& world) {
  if (request.name.empty() || request.name.starts_with(".") || request.name.find('/') != std::string::npos)
    throw ConfigError(fmt::format("a run's name must be a plain folder name, not \"{}\"", request.name));
  try {
    return train_rank(workspace, config, request, world);
  } catch (const std::exception& error) {
    if (world.size() > 1) spdlog::error("rank {} of {}: {}", world.rank(), world.size(), error.what());
    world.fail();
    throw;
  }
}

TrainResult train(const Workspace& workspace, const Config& config, const TrainRequest& request) {
  const std::unique_ptr<Communicator> world = make_communicator(train_options(config).communicator);
  return train(workspace, config, request, *world);
}

}  // namespace starling
