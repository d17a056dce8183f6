#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "io/atomic_file.h"
#include "io_files.h"
#include "support/fixture.h"

namespace wkv::test {
namespace {

size_t files_in(const ScratchFolder& folder) {
  const std::filesystem::directory_iterator files(folder.path());
  return static_cast<size_t>(std::distance(begin(files), end(files)));
}

// For a while, no file may grow beyond `bytes`: to a writer, this is a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit small{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit old_{};
};

}  // namespace

TEST(AtomicFile, a_committed_file_has_what_was_written) {
  const ScratchFolder folder;
  zoo::AtomicFile file(folder / "a");
  file.write("one, ");
  file.write("two");
  file.commit();
  EXPECT_EQ(read_bytes(folder / "a"), "one, two");
}

TEST(AtomicFile, nothing_is_there_before_the_commit) {
  const ScratchFolder folder;
  zoo::AtomicFile file(folder / "a");
  file.write("half");
  EXPECT_FALSE(std::filesystem::exists(folder / "a"));
}

TEST(AtomicFile, without_a_commit_the_old_file_stays_and_nothing_else) {
  const ScratchFolder folder;
  write_bytes(folder / "a", "old");
  {
    zoo::AtomicFile file(folder / "a");
    file.write("new");
  }
  EXPECT_EQ(read_bytes(folder / "a"), "old");
  EXPECT_EQ(files_in(folder), 1);
}

TEST(AtomicFile, a_commit_leaves_no_temporary_file) {
  const ScratchFolder folder;
  zoo::AtomicFile file(folder / "a");
  file.commit();
  EXPECT_EQ(files_in(folder), 1);
}

TEST(AtomicFile, a_reader_never_sees_half_a_file) {
  const ScratchFolder folder;
  const std::string contents[] = {std::string(100'000, 'a'), std::string(50'000, 'b')};
  write_bytes(folder / "a", contents[0]);
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int i = 0; i < 50; ++i) {
      zoo::AtomicFile file(folder / "a");
      file.write(contents[i % 2]);
      file.commit();
    }
    done = true;
  });
  size_t halves = 0;
  while (!done) {
    const std::string seen = read_bytes(folder / "a");
    halves += seen != contents[0] && seen != contents[1];
  }
  writer.join();
  EXPECT_EQ(halves, 0);
}

TEST(AtomicFile, a_full_disk_is_one_error_and_leaves_the_old_file) {
  const ScratchFolder folder;
  write_bytes(folder / "a", "old");
  {
    const FileSizeLimit limit(1000);
    expect_error(ErrorCode::disk_full, "free some space", [&] {
      zoo::AtomicFile file(folder / "a");
      file.write(std::string(2000, 'x'));
      file.commit();
    });
  }
  EXPECT_EQ(read_bytes(folder / "a"), "old");
  EXPECT_EQ(files_in(folder), 1);
}

TEST(AtomicFile, what_a_killed_writer_left_goes_when_the_next_one_begins) {
  const ScratchFolder folder;
  write_bytes(folder / "a.4194305-0.tmp", "half");  // no process has this number
  std::filesystem::create_directory(folder / "a.4194305-1.tmp");
  write_bytes(folder / "a.4194305-1.tmp" / "model.safetensors", "half");
  zoo::AtomicFile file(folder / "a");
  EXPECT_EQ(files_in(folder), 1);
}

TEST(AtomicFile, what_is_being_written_stays) {
  const ScratchFolder folder;
  zoo::AtomicFile first(folder / "a");
  zoo::AtomicFile second(folder / "a");
  first.write("first");
  second.write("second");
  first.commit();
  EXPECT_EQ(read_bytes(folder / "a"), "first");
  second.commit();
  EXPECT_EQ(read_bytes(folder / "a"), "second");
}

TEST(AtomicFile, files_of_other_names_stay) {
  const ScratchFolder folder;
  for (const char* name : {"a.tmp", "a.1.tmp", "a.1-0-0.tmp", "a.-0.tmp", "a.1-.tmp", "a.x-0.tmp", "b.1-0.tmp",
                           "a.1-0.tmp.pth", "aa.1-0.tmp", "a"})
    write_bytes(folder / name, "x");
  { const zoo::AtomicFile file(folder / "a"); }
  EXPECT_EQ(files_in(folder), 10);
}

TEST(AtomicFile, what_cannot_be_written_is_refused_at_once) {
  const ScratchFolder folder;
  const auto create = [](const std::filesystem::path& path) { return [=] { const zoo::AtomicFile file(path); }; };
  expect_error(ErrorCode::not_found, "No such file or directory", create(folder / "missing/a"));
  expect_error(ErrorCode::not_found, "Not a directory", create(write_bytes(folder / "file", "x") / "a"));
  expect_error(ErrorCode::invalid_argument, "not a regular file", create(folder.path()));
  expect_error(ErrorCode::invalid_argument, "not a regular file", create("/dev/null"));
}

}  // namespace wkv::test
