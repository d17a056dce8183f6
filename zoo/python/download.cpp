// What a name of the catalogue needs, fetched for Python: one thread waits for it, another looks at how far it is.
#include <torch/library.h>

#include <mutex>
#include <tuple>

#include "catalogue/locate.h"
#include "python/handles.h"
#include "wkv/zoo/catalogue.h"

namespace wkv::python {
namespace {

struct Download : torch::CustomClassHolder {
  explicit Download(std::string name) : name_(std::move(name)) {}

  void run() {
    zoo::locate(name_, [this](const zoo::RemoteFile& file, int64_t done, std::optional<int64_t> total) {
      const std::lock_guard lock(mutex_);
      if (cancelled_) throw Error(ErrorCode::network, file.path + ": cancelled");
      file_ = file.path;
      done_ = done;
      total_ = total;
    });
  }

  // What is here stays in the cache, and the next run goes on from it.
  void cancel() {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
  }

  // The file that is on its way, its bytes that are here, and all of them where that is known; nothing yet: "".
  std::tuple<std::string, int64_t, std::optional<int64_t>> progress() {
    const std::lock_guard lock(mutex_);
    return {file_, done_, total_};
  }

  static c10::intrusive_ptr<Download> of(std::string name) { return c10::make_intrusive<Download>(std::move(name)); }
  // Why there is nothing to fetch; empty: it is a name.
  static std::string unknown(std::string name) {
    return zoo::card_of(name) ? std::string() : zoo::unknown_model(name).what();
  }

 private:
  const std::string name_;
  std::mutex mutex_;
  std::string file_;
  int64_t done_ = 0;
  std::optional<int64_t> total_;
  bool cancelled_ = false;
};

}  // namespace

void define_download(torch::Library& library) {
  library.class_<Download>("Download")
      .def("run", bound(&Download::run))
      .def("cancel", bound(&Download::cancel))
      .def("progress", bound(&Download::progress))
      .def_static("of", bound(&Download::of))
      .def_static("unknown", bound(&Download::unknown));
}

}  // namespace wkv::python
