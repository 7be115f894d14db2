#include "engine/checkpoint/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string_view>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/checkpoint/strict_json.h"
#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr uint64_t kPrefixBytes = 8;

struct DTypeWidth {
  const char* name;
  uint64_t bits;
};
constexpr DTypeWidth kDTypes[] = {
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
    {"I64", 64},        {"U64", 64},
};

// A tensor with its place in the data buffer, [begin, end).
struct PlacedTensor {
  std::string name;
  TensorEntry entry;
  uint64_t begin = 0;
  uint64_t end = 0;
};

absl::Status TensorError(const std::string& name, const std::string& reason) {
  return absl::InvalidArgumentError(absl::StrCat("tensor ", Quoted(name), ": ", reason));
}

uint64_t LittleEndian64(const uint8_t* bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | bytes[i];
  return value;
}

absl::Status ReadShape(const Json& shape, PlacedTensor& tensor) {
  if (!shape.is_array()) return TensorError(tensor.name, "shape is not an array");
  uint64_t elements = 1;
  for (const Json& item : shape) {
    if (!item.is_number_unsigned() ||
        item.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return TensorError(tensor.name,
                         "shape holds something else than integers from 0 to 2^63 - 1");
    }
    const uint64_t size = item.get<uint64_t>();
    if (__builtin_mul_overflow(elements, size, &elements)) {
      return TensorError(tensor.name, "the product of the shape overflows 64 bits");
    }
    tensor.entry.shape.push_back(static_cast<int64_t>(size));
  }
  tensor.entry.elements = elements;
  return absl::OkStatus();
}

absl::Status ReadOffsets(const Json& offsets, PlacedTensor& tensor) {
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned()) {
    return TensorError(tensor.name, "data_offsets are not two integers from 0 to 2^64 - 1");
  }
  tensor.begin = offsets[0].get<uint64_t>();
  tensor.end = offsets[1].get<uint64_t>();
  if (tensor.begin > tensor.end) {
    return TensorError(tensor.name, absl::StrCat("data_offsets begin at ", tensor.begin,
                                                 ", after their end ", tensor.end));
  }
  return absl::OkStatus();
}

// Bytes that dtype and shape ask for against those that the offsets span.
absl::Status CheckSize(PlacedTensor& tensor) {
  const auto* dtype =
      std::find_if(std::begin(kDTypes), std::end(kDTypes),
                   [&](const DTypeWidth& known) { return tensor.entry.dtype == known.name; });
  if (dtype == std::end(kDTypes)) {
    return TensorError(tensor.name, absl::StrCat("unknown dtype ", Quoted(tensor.entry.dtype)));
  }
  uint64_t bits = 0;
  if (__builtin_mul_overflow(tensor.entry.elements, dtype->bits, &bits)) {
    return TensorError(tensor.name, "the size in bits overflows 64 bits");
  }
  if (bits % 8 != 0) {
    return TensorError(tensor.name, absl::StrCat(bits, " bits are not whole bytes"));
  }
  tensor.entry.bytes = tensor.end - tensor.begin;
  if (tensor.entry.bytes != bits / 8) {
    return TensorError(tensor.name, absl::StrCat("dtype and shape need ", bits / 8,
                                                 " bytes, data_offsets span ", tensor.entry.bytes));
  }
  return absl::OkStatus();
}

absl::StatusOr<PlacedTensor> ReadTensor(const std::string& name, const Json& value) {
  PlacedTensor tensor;
  tensor.name = name;
  if (!value.is_object()) return TensorError(name, "not an object");
  for (const char* key : {"dtype", "shape", "data_offsets"}) {
    if (!value.contains(key)) return TensorError(name, absl::StrCat("has no ", key));
  }
  if (value.size() != 3) {
    return TensorError(name, "has other keys than dtype, shape and data_offsets");
  }
  if (!value["dtype"].is_string()) return TensorError(name, "dtype is not a string");
  tensor.entry.dtype = value["dtype"].get<std::string>();
  SPARSED_RETURN_IF_ERROR(ReadShape(value["shape"], tensor));
  SPARSED_RETURN_IF_ERROR(ReadOffsets(value["data_offsets"], tensor));
  SPARSED_RETURN_IF_ERROR(CheckSize(tensor));
  return tensor;
}

absl::Status CheckMetadata(const Json& metadata) {
  if (!metadata.is_object()) return absl::InvalidArgumentError("__metadata__ is not an object");
  for (const auto& [key, value] : metadata.items()) {
    if (!value.is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat("__metadata__: ", Quoted(key), " is not a string"));
    }
  }
  return absl::OkStatus();
}

// The tensors must tile the data buffer of `buffer_bytes` bytes without a gap or an overlap.
absl::Status CheckPlaces(std::vector<PlacedTensor>& tensors, uint64_t buffer_bytes) {
  std::sort(tensors.begin(), tensors.end(), [](const PlacedTensor& a, const PlacedTensor& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  uint64_t end = 0;
  for (const PlacedTensor& tensor : tensors) {
    if (tensor.begin != end) {
      return TensorError(tensor.name,
                         absl::StrCat("begins at ", tensor.begin, " of the data, where ", end,
                                      " is the end of what precedes it: ",
                                      tensor.begin < end ? "an overlap" : "a gap"));
    }
    end = tensor.end;
  }
  if (end == buffer_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the header describes ", end, " bytes of data, the file holds ", buffer_bytes,
                   end < buffer_bytes ? ": trailing bytes" : ": truncated"));
}

}  // namespace

absl::StatusOr<std::map<std::string, TensorEntry>> ParseSafetensors(const uint8_t* file,
                                                                    uint64_t bytes) {
  if (bytes < kPrefixBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("file of ", bytes, " bytes is too short for a header length (8 bytes)"));
  }
  const uint64_t header_bytes = LittleEndian64(file);
  if (header_bytes > kMaxHeaderBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("header of ", header_bytes, " bytes; at most ", kMaxHeaderBytes));
  }
  if (header_bytes > bytes - kPrefixBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "header of ", header_bytes, " bytes reaches beyond the file of ", bytes, " bytes"));
  }
  const std::string_view text(reinterpret_cast<const char*>(file + kPrefixBytes), header_bytes);
  absl::StatusOr<Json> header = ParseStrictJson(text);
  if (!header.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("header: ", header.status().message()));
  }
  if (!header->is_object()) return absl::InvalidArgumentError("header: not a JSON object");

  std::vector<PlacedTensor> placed;
  for (const auto& [name, value] : header->items()) {
    if (name == "__metadata__") {
      SPARSED_RETURN_IF_ERROR(CheckMetadata(value));
      continue;
    }
    SPARSED_ASSIGN_OR_RETURN(PlacedTensor tensor, ReadTensor(name, value));
    placed.push_back(std::move(tensor));
  }
  SPARSED_RETURN_IF_ERROR(CheckPlaces(placed, bytes - kPrefixBytes - header_bytes));

  std::map<std::string, TensorEntry> tensors;
  for (PlacedTensor& tensor : placed) {
    tensor.entry.data = file + kPrefixBytes + header_bytes + tensor.begin;
    tensors.emplace(std::move(tensor.name), std::move(tensor.entry));
  }
  return tensors;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  // O_NONBLOCK: a named pipe of that name must not hold up the start.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    const int open_error = errno;
    const std::string message = absl::StrCat(path, ": ", std::strerror(open_error));
    return open_error == ENOENT ? absl::NotFoundError(message)
                                : absl::InvalidArgumentError(message);
  }
  struct stat info = {};
  const bool regular = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  SafetensorsFile file;
  file.mapping_bytes_ = regular ? static_cast<uint64_t>(info.st_size) : 0;
  void* mapping = file.mapping_bytes_ == 0
                      ? nullptr
                      : mmap(nullptr, file.mapping_bytes_, PROT_READ, MAP_PRIVATE, fd, 0);
  const int map_error = errno;
  close(fd);
  if (!regular) return absl::InvalidArgumentError(absl::StrCat(path, ": not a regular file"));
  if (mapping == MAP_FAILED) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": cannot be mapped: ", std::strerror(map_error)));
  }
  file.mapping_ = mapping;
  auto tensors = ParseSafetensors(static_cast<const uint8_t*>(mapping), file.mapping_bytes_);
  if (!tensors.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", tensors.status().message()));
  }
  file.tensors_ = std::move(tensors).value();
  return file;
}

void ReleaseMapped(const TensorEntry& entry) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<uintptr_t>(entry.data) + page - 1) / page * page;
  const auto end = (reinterpret_cast<uintptr_t>(entry.data) + entry.bytes) / page * page;
  // Advice: where it is not taken, the pages merely stay.
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

SafetensorsFile::SafetensorsFile(SafetensorsFile&& other) noexcept { *this = std::move(other); }

SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&& other) noexcept {
  std::swap(mapping_, other.mapping_);
  std::swap(mapping_bytes_, other.mapping_bytes_);
  tensors_.swap(other.tensors_);
  return *this;
}

SafetensorsFile::~SafetensorsFile() {
  if (mapping_ != nullptr) munmap(mapping_, mapping_bytes_);
}

}  // namespace sparsed::engine
