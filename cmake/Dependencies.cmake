# Every library from outside, as one target orch::NAME each. In the release presets the static
# archives are taken, else whatever the linker prefers. third_party/README.md says why each is here.

find_package(Threads REQUIRED)

if(ORCH_STATIC)
  set(CMAKE_FIND_LIBRARY_SUFFIXES ".a")
endif()

# orch_find(NAME HEADER LIBRARIES... [LINK TARGETS...]): target orch::NAME from a header and libraries.
# A library may need those named after it and the targets of LINK: static linking depends on that order.
function(orch_find name header)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  find_path(ORCH_${name}_INCLUDE ${header})
  if(NOT ORCH_${name}_INCLUDE)
    message(FATAL_ERROR "${header} is missing. Run scripts/deps.sh build (as root) and configure again.")
  endif()
  mark_as_advanced(ORCH_${name}_INCLUDE)
  set(needed ${ARG_LINK})
  list(REVERSE ARG_UNPARSED_ARGUMENTS)
  foreach(library ${ARG_UNPARSED_ARGUMENTS})
    find_library(ORCH_LIB_${library} ${library})
    if(NOT ORCH_LIB_${library})
      message(FATAL_ERROR "Library ${library} is missing. Run scripts/deps.sh build (as root) and configure again.")
    endif()
    mark_as_advanced(ORCH_LIB_${library})
    orch_import(orch_lib_${library} ${ORCH_LIB_${library}} ${needed})
    set(needed orch_lib_${library})
  endforeach()
  add_library(orch_dep_${name} INTERFACE)
  add_library(orch::${name} ALIAS orch_dep_${name})
  target_link_libraries(orch_dep_${name} INTERFACE ${needed})
endfunction()

# orch_import(TARGET FILE NEEDS...): a library file that needs other targets.
function(orch_import target file)
  add_library(${target} UNKNOWN IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION "${file}")
  target_link_libraries(${target} INTERFACE ${ARGN})
endfunction()

orch_find(zlib zlib.h z)
orch_find(zstd zstd.h zstd)
# OpenSSL's static archives of Debian 13 compress certificates with zlib and zstd.
orch_find(openssl openssl/ssl.h ssl crypto LINK orch::zlib orch::zstd Threads::Threads)
orch_find(sqlite sqlite3.h sqlite3 LINK Threads::Threads m)
orch_find(yaml yaml.h yaml)
orch_find(yamlcpp yaml-cpp/yaml.h yaml-cpp)
orch_find(re2 re2/re2.h re2 LINK Threads::Threads)
orch_find(cares ares.h cares)
orch_find(ldns ldns/ldns.h ldns LINK orch::openssl)
orch_find(nl libnl3/netlink/netlink.h nl-route-3 nl-3 LINK Threads::Threads)
target_include_directories(orch_dep_nl SYSTEM INTERFACE ${ORCH_nl_INCLUDE}/libnl3)
orch_find(json nlohmann/json.hpp)
orch_find(cli11 CLI/CLI.hpp)

# gRPC and protobuf. Its peers (container runtime, key management) are on unix sockets of this machine, so the
# variant without TLS does, which is 6 MB less. Generated gRPC code uses Abseil itself. The static Abseil is many archives that need
# each other; the linker takes of them what is used.
orch_find(protobuf google/protobuf/message_lite.h protobuf-lite LINK Threads::Threads)
orch_find(absl absl/synchronization/mutex.h absl_synchronization)
if(ORCH_STATIC)
  get_filename_component(folder "${ORCH_LIB_absl_synchronization}" DIRECTORY)
  file(GLOB archives "${folder}/libabsl_*.a")
  list(FILTER archives EXCLUDE REGEX "_flags_|_test")
  list(JOIN archives "," archives)
  set_target_properties(orch_dep_absl PROPERTIES INTERFACE_LINK_LIBRARIES "$<LINK_GROUP:RESCAN,${archives}>")
  # RE2 of Debian 13 uses Abseil.
  target_link_libraries(orch_dep_re2 INTERFACE orch::absl)
endif()
if(ORCH_STATIC)
  orch_find(grpc grpcpp/grpcpp.h grpc++_unsecure grpc_unsecure upb address_sorting gpr LINK orch::protobuf
            orch::re2 orch::cares orch::zlib orch::absl)
else()
  orch_find(grpc grpcpp/grpcpp.h grpc++_unsecure grpc_unsecure gpr LINK orch::protobuf orch::absl)
endif()
find_program(ORCH_PROTOC protoc)
find_program(ORCH_GRPC_PLUGIN grpc_cpp_plugin)

# What Debian has only as source or only as a shared library, put in place by scripts/deps.sh.
function(orch_downloaded name header archive)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_library(orch_dep_${name} INTERFACE)
  add_library(orch::${name} ALIAS orch_dep_${name})
  set(place "${ORCH_DOWNLOAD_DIR}/${name}")
  if(CMAKE_CROSSCOMPILING AND archive)
    set(place "${place}-${CMAKE_SYSTEM_PROCESSOR}")
  endif()
  if(NOT EXISTS "${place}/include/${header}" OR (archive AND NOT EXISTS "${place}/lib/${archive}"))
    if(ORCH_STATIC)
      message(FATAL_ERROR "${place} is missing. Run scripts/deps.sh build (as root) and configure again.")
    endif()
    message(WARNING "${place} is missing: what includes ${header} will not compile. Run scripts/deps.sh build.")
    return()
  endif()
  target_include_directories(orch_dep_${name} SYSTEM INTERFACE "${place}/include")
  if(archive)
    orch_import(orch_lib_${name} "${place}/lib/${archive}" ${ARG_LINK})
    target_link_libraries(orch_dep_${name} INTERFACE orch_lib_${name})
  else()
    target_link_libraries(orch_dep_${name} INTERFACE ${ARG_LINK})
  endif()
endfunction()

orch_downloaded(httplib httplib.h "" LINK orch::openssl orch::zlib)
# Its limits, the same wherever it is included: the engine's own come first.
target_compile_definitions(orch_dep_httplib INTERFACE CPPHTTPLIB_OPENSSL_SUPPORT CPPHTTPLIB_USE_POLL
  CPPHTTPLIB_ALLOW_LF_AS_LINE_TERMINATOR CPPHTTPLIB_MAX_LINE_LENGTH=1048576
  CPPHTTPLIB_REQUEST_URI_MAX_LENGTH=1048576 CPPHTTPLIB_HEADER_MAX_LENGTH=1048576
  CPPHTTPLIB_HEADER_MAX_COUNT=4096)
orch_downloaded(curl curl/curl.h libcurl.a LINK orch::openssl orch::cares orch::zlib)
target_compile_definitions(orch_dep_curl INTERFACE CURL_STATICLIB)

# Catch2: version 3 (Debian 13) brings its own main, version 2 (Debian 12) is one header.
find_package(Catch2 QUIET CONFIG)
