"""Graphics cards as XLA wants them described, and their public figures.

The figures are NVIDIA's data sheets' (A100 and H100 SXM 80 GB, H200 SXM); nothing was measured.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """One model of card.

    Attributes:
      name: As the driver names it.
      capability: Compute capability.
      cores: Streaming multiprocessors, and of each the arithmetic units for float32.
      shared_memory: Of a streaming multiprocessor, bytes.
      clock_ghz: The highest.
      cache: The second-level cache, bytes.
      memory: Bytes.
      bandwidth: Of its memory, bytes a second.
      link: Of NVLink, bytes a second in one direction.
      peaks: Dense floating-point operations a second by a network's dtype; float32 means TF32, as
        JAX's default precision does there.
    """

    name: str
    capability: tuple[int, int]
    cores: tuple[int, int]
    shared_memory: int
    clock_ghz: float
    cache: int
    memory: int
    bandwidth: float
    link: float
    peaks: dict[str, float]

    @property
    def target(self) -> str:
        """The card as XLA's GpuTargetConfigProto, in text form."""
        major, minor = self.capability
        cores, units = self.cores
        return f"""
gpu_device_info {{
  cuda_compute_capability {{ major: {major} minor: {minor} }}
  core_count: {cores} fpus_per_core: {units} clock_rate_ghz: {self.clock_ghz}
  memory_bandwidth: {self.bandwidth:.0f} device_memory_size: {self.memory}
  l2_cache_size: {self.cache} device_address_bits: 64
  shared_memory_per_core: {self.shared_memory} shared_memory_per_block: 49152
  shared_memory_per_block_optin: {self.shared_memory - 1024}
  threads_per_block_limit: 1024 threads_per_core_limit: 2048 threads_per_warp: 32
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  device_vendor: "NVIDIA Corporation" name: "{self.name}"
  driver_version: "13.0.0" runtime_version: "12.8.0" compile_time_toolkit_version: "12.8.0"
  dnn_version: "9.10.0"
}}
platform_name: "CUDA" device_description_str: "{self.name}"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
"""


CARDS = {
    "A100": Card(
        name="NVIDIA A100-SXM4-80GB",
        capability=(8, 0),
        cores=(108, 64),
        shared_memory=167936,
        clock_ghz=1.41,
        cache=41943040,
        memory=85_000_000_000,
        bandwidth=2.039e12,
        link=300e9,
        peaks={"float32": 156e12, "bfloat16": 312e12},
    ),
    "H100": Card(
        name="NVIDIA H100 80GB HBM3",
        capability=(9, 0),
        cores=(132, 128),
        shared_memory=233472,
        clock_ghz=1.98,
        cache=52428800,
        memory=84_942_979_072,
        bandwidth=3.35232e12,
        link=450e9,
        peaks={"float32": 495e12, "bfloat16": 989e12},
    ),
    "H200": Card(
        name="NVIDIA H200",
        capability=(9, 0),
        cores=(132, 128),
        shared_memory=233472,
        clock_ghz=1.98,
        cache=52428800,
        memory=150_000_000_000,
        bandwidth=4.8e12,
        link=450e9,
        peaks={"float32": 495e12, "bfloat16": 989e12},
    ),
}
