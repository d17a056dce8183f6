// The `wkv` command: subcommands, and what an error looks like: one line on stderr, exit code 1, or 2 for bad usage.
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "wkv/error.h"
#include "wkv/version.h"

namespace {

int failed(const std::string& message) {
  fmt::print(stderr, "wkv: {}\n", message);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is a failed write, with its message
  std::signal(SIGXFSZ, SIG_IGN);  // and so is a file beyond the limit of its size
  CLI::App app{"RWKV and linear attention: runs, scores, converts and trains models of language and vision"};
  app.name("wkv");
  app.set_version_flag("--version", fmt::format("wkv {} (torch {})", wkv::version(), wkv::torch_version()));
  app.require_subcommand(1);
  wkv::cli::add_generate(app);
  wkv::cli::add_chat(app);
  wkv::cli::add_serve(app);
  wkv::cli::add_score(app);
  wkv::cli::add_list(app);
  wkv::cli::add_info(app);
  wkv::cli::add_pull(app);
  wkv::cli::add_verify(app);
  wkv::cli::add_convert(app);
  wkv::cli::add_export(app);
  wkv::cli::add_tokenize(app);
  wkv::cli::add_train(app);
  wkv::cli::add_bench(app);
  wkv::cli::add_classify(app);
  wkv::cli::add_zero_shot(app);
  wkv::cli::add_embed(app);
  wkv::cli::add_retrieve(app);
  wkv::cli::add_eval(app);

  // Without arguments: text from the embedded model.
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty()) arguments = {"generate"};
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
  try {
    app.parse(arguments);
  } catch (const CLI::Success& e) {  // --help, --version
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    fmt::print(stderr, "wkv: {}\nRun `wkv --help`, or `wkv COMMAND --help`.\n", e.what());
    return 2;
  } catch (const wkv::Error& e) {
    return failed(e.what());
  } catch (const c10::Error& e) {
    return failed(e.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return failed("out of memory");
  } catch (const std::exception& e) {
    return failed(e.what());
  }
  return 0;
}
