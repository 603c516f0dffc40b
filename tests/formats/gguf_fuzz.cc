// libFuzzer: any bytes as a GGUF file.   build/asan/gguf_fuzz -max_total_time=60 NEW_FOLDER tests/formats/corpus/gguf
#include "tests/formats/walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  accelerate::testing::walk_gguf({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
