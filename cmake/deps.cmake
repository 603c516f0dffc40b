# Everything foreign, found once. Installed by tools/setup; a missing one names the command that brings it.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(Boost 1.81 REQUIRED)
add_library(tomlplusplus INTERFACE)  # header only; Debian's package has no usable CMake config
if(ACC_TESTS)
  find_package(GTest REQUIRED)
endif()

if(NOT DEFINED ACC_CACHE_DIR)
  if(DEFINED ENV{XDG_CACHE_HOME})
    set(ACC_CACHE_DIR "$ENV{XDG_CACHE_HOME}/ipfs-accelerate")
  else()
    set(ACC_CACHE_DIR "$ENV{HOME}/.cache/ipfs-accelerate")
  endif()
endif()

find_program(ACC_MOLD mold)
if(ACC_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
# Options structs are filled by name; what is not named keeps its default on purpose.
add_compile_options(-Wall -Wextra -Werror -Wno-missing-field-initializers -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports these falsely in its own <string> and intrinsics headers; clang checks them in the asan build.
  add_compile_options(-Wno-restrict -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
if(ACC_FUZZERS)
  add_compile_options(-fsanitize=fuzzer-no-link)  # coverage for tests/**/*_fuzz.cc
endif()
