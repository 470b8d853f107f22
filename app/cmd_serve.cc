#include <fmt/format.h>
#include <malloc.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include "app/command.h"
#include "core/error.h"
#include "core/json.h"
#include "core/stop.h"
#include "core/time.h"
#include "server/deletion.h"
#include "server/platform.h"
#include "server/server.h"
#include "store/key_changes.h"

namespace starling {
namespace {

constexpr const char* kFirstKeyName = "admin";

std::string url_of(const ServerOptions& options, int port) {
  const std::string& host = options.http.host;
  const bool everywhere = host == "0.0.0.0" || host == "::";
  const std::string shown = everywhere ? "127.0.0.1" : host.find(':') == std::string::npos ? host : "[" + host + "]";
  return fmt::format("http{}://{}:{}/", options.http.tls_certificate.empty() ? "" : "s", shown, port);
}

// Results go to stdout: where the page is and, once in a workspace's life, the
// key to open it. The key is never logged.
void print_welcome(Platform& platform, const std::string& url, bool json) {
  std::string key;
  if (platform.control.keys().empty()) key = grant_key(platform.control, {.name = kFirstKeyName, .role = "admin"});
  if (json) {
    nlohmann::json welcome = {{"url", url}, {"problems", platform.problems}};
    if (!key.empty()) welcome["admin_key"] = key;
    fmt::print("{}\n", dump_json(welcome));
  } else {
    fmt::print("Starling serves {} at {}\n", platform.workspace.root.string(), url);
    if (!key.empty()) fmt::print("Admin key, shown only this once: {}\n", key);
    for (const std::string& problem : platform.problems) fmt::print("Note: {}\n", problem);
    fmt::print("Stop with Ctrl-C; a second Ctrl-C stops at once.\n");
  }
  std::fflush(stdout);
}

std::atomic<bool> certificate_renewed{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the signal handler needs a lock-free flag");

// SIGHUP says that the certificate's files are new. Without TLS it ends the process, as by default: a closed terminal
// sends it too.
void install_renewal_signal() {
  struct sigaction action {};
  action.sa_handler = [](int) { certificate_renewed = true; };
  sigaction(SIGHUP, &action, nullptr);
}

// Files that are not right must not end a server that works.
void renew_certificate(Server& server) try {
  server.renew_certificate();
  spdlog::info("the TLS certificate was read again, for new connections");
} catch (const IoError& error) {
  spdlog::error("the TLS certificate stays as it was: {}", error.what());
}

void look_for_deletions(DeletionWatch& deletions) try { deletions.look(); } catch (const Error& error) {
  spdlog::error("deletions of other processes: {}", error.what());
}

void serve(const GlobalOptions& options, const Config& config) {
  share_heaps();
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%SZ %^%l%$: %v", spdlog::pattern_time_type::utc);
  const Workspace workspace = options.open_workspace();
  const ServerOptions settings = server_options(config);
  if (settings.http.host != "127.0.0.1" && settings.http.host != "::1" && settings.http.tls_certificate.empty())
    spdlog::warn(
        "{} is reachable from other machines and speaks plain HTTP; set server.tls_certificate and server.tls_key, or "
        "put a TLS proxy before it",
        settings.http.host);
  if (!settings.http.tls_certificate.empty()) install_renewal_signal();
  Server server(workspace, config, settings);
  server.start();
  print_welcome(server.platform(), url_of(settings, server.port()), options.json);
  Platform& platform = server.platform();
  DeletionWatch deletions(platform.workspace, platform.control, platform.posts, platform.search.get(), platform.models);
  for (double next_look_s = 0; !stop_requested();) {
    if (certificate_renewed.exchange(false)) renew_certificate(server);
    if (monotonic_s() >= next_look_s) {
      look_for_deletions(deletions);
      next_look_s = monotonic_s() + 1;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  spdlog::info("stopping: requests under way have {} s", settings.http.drain_s);
  server.stop();
}

}  // namespace

// glibc makes up to 8 heaps a processor, and what is free in one serves only the threads of that one: every heap grows
// to the most that its threads ever needed, because a compiled schema or a page of keys that stays keeps the memory
// below it. Two are enough: a thread's own cache, which takes no lock, answers most of its allocations. What is large,
// such as a body or a prompt of megabytes, gets pages of its own, which go back when it is freed; glibc would take it
// from a heap once the first was freed.
void share_heaps() {
  constexpr int kHeaps = 2, kLargeBytes = 1 << 20;
  mallopt(M_ARENA_MAX, kHeaps);
  mallopt(M_MMAP_THRESHOLD, kLargeBytes);
}

void add_serve(Command root, const GlobalOptions& options) {
  Command command = root.add_subcommand("serve", "Serve the HTTP API and the page on a workspace");
  auto host = std::make_shared<std::string>();
  auto port = std::make_shared<int>(-1);
  command.add_option("--host", *host, "IP address to listen on (default: server.host, 127.0.0.1)");
  command.add_option("--port", *port, "TCP port; 0 takes any that is free (default: server.port, 8080)")
      .between(0, 65535);
  command.footer(
      "Examples:\n  starling serve --workspace demo/workspace\n  "
      "starling serve --host 0.0.0.0 --port 443 --set server.tls_certificate=chain.pem --set server.tls_key=key.pem\n"
      "The API is described in docs/formats/http-api.md; make keys "
      "with `starling keys create`.");
  command.callback([host, port, &options] {
    Config config = options.config();
    if (!host->empty()) config.set("server.host=" + *host);
    if (*port >= 0) config.set(fmt::format("server.port={}", *port));
    serve(options, config);
  });
}

}  // namespace starling
