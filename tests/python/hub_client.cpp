// For test_hub.py: calls wkv::zoo::fetch in processes of their own, which may be killed, without loading libtorch anew
// for each. A request is a line of JSON on stdin, its answer one on stdout:
//   {"fetch": [file, ...], "environment": {...}, "answer": PATH, "user": ID, "file_bytes": N}  ->  the process's id.
//       The files are fetched at once, each by a thread; what came of them is a list in PATH.
//   {"wait": ID}  ->  the signal that ended the process, or 0
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "wkv/error.h"
#include "wkv/zoo/hub.h"

namespace {

using nlohmann::json;

constexpr const char* kCodes[] = {"not_found",      "corrupt_file",    "unsupported_format", "shape_mismatch",
                                  "missing_tensor", "network",         "checksum",           "disk_full",
                                  "offline",        "invalid_argument"};

wkv::zoo::RemoteFile file_of(const json& given) {
  wkv::zoo::RemoteFile file;
  file.repository = given.value("repository", "");
  file.revision = given.value("revision", "main");
  file.path = given.value("path", "");
  file.url = given.value("url", "");
  if (given.contains("size")) file.size = given["size"].get<int64_t>();
  if (given.contains("sha256")) file.sha256 = given["sha256"].get<std::string>();
  return file;
}

json fetch(const json& given) {
  try {
    const auto file = file_of(given);
    json progress = json::array();
    const auto path = wkv::zoo::fetch(file, [&](const auto&, int64_t done, std::optional<int64_t> total) {
      progress.push_back({done, total ? json(*total) : json()});
    });
    const auto found = wkv::zoo::fetched(file);
    if (!found) return {{"error", "not cached"}, {"message", path.string()}};
    return {{"path", path.string()},
            {"size", found->size},
            {"sha256", found->sha256},
            {"commit", found->commit},
            {"progress", progress}};
  } catch (const wkv::Error& error) {
    return {{"error", kCodes[static_cast<int>(error.code())]}, {"message", error.what()}};
  } catch (const std::exception& error) {
    return {{"error", "exception"}, {"message", error.what()}};
  }
}

void run(const json& request) {
  for (const auto& [name, value] : request.at("environment").items())
    ::setenv(name.c_str(), value.get<std::string>().c_str(), 1);
  std::ofstream answer(request.at("answer").get<std::string>());
  if (request.contains("file_bytes")) {
    const rlimit limit{request["file_bytes"].get<rlim_t>(), RLIM_INFINITY};
    ::signal(SIGXFSZ, SIG_IGN);
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return;
  }
  if (request.contains("user") && ::setuid(request["user"].get<uid_t>()) != 0) return;
  std::vector<json> answers(request.at("fetch").size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < answers.size(); ++i) threads.emplace_back([&, i] { answers[i] = fetch(request["fetch"][i]); });
  for (auto& thread : threads) thread.join();
  answer << json(answers) << std::flush;
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const json request = json::parse(line);
    if (request.contains("wait")) {
      int status = 0;
      ::waitpid(request["wait"].get<pid_t>(), &status, 0);
      std::cout << (WIFSIGNALED(status) ? WTERMSIG(status) : 0) << std::endl;
      continue;
    }
    const pid_t child = ::fork();
    if (child == 0) {
      run(request);
      ::_exit(0);
    }
    std::cout << child << std::endl;
  }
}
