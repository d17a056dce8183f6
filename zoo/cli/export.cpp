// `wkv export`: a model as a file that PyTorch runs without this library's models.
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "cli/commands.h"
#include "io/atomic_file.h"
#include "wkv/error.h"
#include "wkv/zoo/export_torchscript.h"

namespace wkv::cli {
namespace {

// Python with PyTorch and the package `wkv`: $WKV_PYTHON, which the wheel's `wkv` sets, that of the checkout in whose
// build folder this program lies, or the first one on PATH.
std::string python() {
  if (const char* named = std::getenv("WKV_PYTHON"); named && *named) return named;
  std::error_code none;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", none);
  const auto of_checkout = program.parent_path().parent_path().parent_path() / ".venv/bin/python";
  return std::filesystem::exists(of_checkout, none) ? of_checkout.string() : "python3";
}

void compile_traced(const std::string& traced, const std::string& output) {
  const std::string program = python();
  std::array<const char*, 6> arguments = {program.c_str(), "-m", "wkv.export", traced.c_str(), output.c_str(), nullptr};
  pid_t child = 0;
  int status = ::posix_spawnp(&child, program.c_str(), nullptr, nullptr, const_cast<char**>(arguments.data()), environ);
  if (status != 0) {
    throw Error(ErrorCode::not_found, fmt::format("{}: {}: --to aoti needs a Python with PyTorch and the package wkv; "
                                                  "name one in WKV_PYTHON",
                                                  program, std::strerror(status)));
  }
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw Error(ErrorCode::unsupported_format,
                fmt::format("{}: not written: `{} -m wkv.export` failed; --to aoti needs a Python (WKV_PYTHON) with "
                            "PyTorch and the package wkv, and a C++ compiler",
                            output, program));
  }
}

// A file that goes with this object.
struct TemporaryFile {
  explicit TemporaryFile(const std::string& beside) : path(fmt::format("{}.{}.traced.tmp", beside, ::getpid())) {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { ::unlink(path.c_str()); }
  const std::string path;
};

struct ExportArguments : ModelArguments {
  std::string to, output;
  zoo::TraceSizes sizes;
};

void run_export(const ExportArguments& arguments) {
  if (arguments.to == "aoti" && !arguments.output.ends_with(".pt2"))
    throw CLI::ValidationError("OUT", "of --to aoti must end with .pt2, got " + arguments.output);
  { const zoo::AtomicFile can_be_written(arguments.output); }  // else it is said now, not after minutes
  const auto model = zoo::load(arguments.model, arguments.load_options());
  if (arguments.to == "torchscript") return zoo::export_torchscript(model, arguments.output, arguments.sizes);
  const TemporaryFile traced(arguments.output);
  zoo::export_torchscript(model, traced.path, arguments.sizes);
  compile_traced(traced.path, arguments.output);
}

}  // namespace

void add_export(CLI::App& app) {
  auto* command = app.add_subcommand("export", "Write a model as TorchScript, or compiled by AOTInductor");
  auto arguments = std::make_shared<ExportArguments>();
  arguments->add_to(*command, kModelHelp)->required();
  command->add_option("OUT", arguments->output, "The file to write: .pt, compiled .pt2")->required();
  command->add_option("--to", arguments->to, "torchscript, or aoti, which takes minutes, Python and a C++ compiler")
      ->check(CLI::IsMember({"torchscript", "aoti"}))
      ->required();
  command->add_option("--batch", arguments->sizes.batch, "Rows of tokens, or images, of a call")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--block", arguments->sizes.block, "Tokens of a prompt that a language model reads at once")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  command->add_option("--size", arguments->sizes.image, "Height and width of images (default: as preprocessed)")
      ->check(CLI::Range(1, 1 << 16));
  command->callback([arguments] { run_export(*arguments); });
}

}  // namespace wkv::cli
