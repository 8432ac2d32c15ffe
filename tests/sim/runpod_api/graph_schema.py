"""The GraphQL schema, in its own language: the types that the documented operations touch."""

_DEPLOY = """
  name: String
  imageName: String
  cloudType: CloudTypeEnum
  startSsh: Boolean
  startJupyter: Boolean
  gpuTypeId: String
  gpuTypeIdList: [String]
  supportPublicIp: Boolean
  gpuCount: Int
  volumeInGb: Int
  volumeKey: String
  minVcpuCount: Int
  minMemoryInGb: Int
  minDisk: Int
  minCudaVersion: String
  allowedCudaVersions: [String]
  dataCenterId: String
  dockerArgs: String
  countryCode: String
  containerDiskInGb: Int
  ports: String
  port: Int
  volumeMountPath: String
  env: [EnvironmentVariableInput]
  templateId: String
  networkVolumeId: String
  minDownload: Int
  minUpload: Int
  globalNetwork: Boolean
  stopAfter: String
  terminateAfter: String
"""

SDL = f"""
enum CloudTypeEnum {{ ALL COMMUNITY SECURE }}
enum PodStatus {{ CREATED RUNNING RESTARTING PAUSED EXITED TERMINATED DEAD }}
enum PodType {{ RESERVED INTERRUPTABLE BID BACKGROUND }}
input EnvironmentVariableInput {{ key: String! value: String! }}
input PodFilter {{ podId: String! }}
input PodStopInput {{ podId: String! incrementVersion: Boolean }}
input PodTerminateInput {{ podId: String! }}
input PodResumeInput {{ podId: String! gpuCount: Int syncMachine: Boolean computeType: String }}
input PodBidResumeInput {{ podId: String! bidPerGpu: Float! gpuCount: Int! }}
input GpuTypeFilter {{ id: String ids: [String] }}
input GpuLowestPriceInput {{ gpuCount: Int secureCloud: Boolean minMemoryInGb: Int minVcpuCount: Int
  dataCenterId: String countryCode: String cudaVersion: String supportPublicIp: Boolean }}
input UpdateUserSettingsInput {{ pubKey: String notifyPodsStale: Boolean notifyPodsGeneral: Boolean
  notifyLowBalance: Boolean }}
input PodFindAndDeployOnDemandInput {{ {_DEPLOY} }}
input PodRentInterruptableInput {{ {_DEPLOY} bidPerGpu: Float! }}
input DeployCpuPodInput {{ {_DEPLOY} instanceId: String }}

type PodPort {{ ip: String isIpPublic: Boolean privatePort: Int publicPort: Int type: String }}
type PodGpu {{ id: String gpuUtilPercent: Float memoryUtilPercent: Float }}
type PodContainer {{ cpuPercent: Float memoryPercent: Float }}
type PodRuntime {{ uptimeInSeconds: Int ports: [PodPort] gpus: [PodGpu] container: PodContainer }}
type PodMachine {{ podHostId: String gpuDisplayName: String gpuTypeId: String dataCenterId: String
  secureCloud: Boolean }}
type Pod {{ id: String! name: String containerDiskInGb: Int costPerHr: Float createdAt: String
  desiredStatus: PodStatus dockerArgs: String dockerId: String env: [String] gpuCount: Int imageName: String
  lastStatusChange: String lastStartedAt: String locked: Boolean machineId: String memoryInGb: Float
  networkVolumeId: String podType: PodType port: Int ports: String templateId: String uptimeSeconds: Int
  vcpuCount: Float volumeInGb: Float volumeMountPath: String runtime: PodRuntime machine: PodMachine }}
type NetworkVolume {{ id: String! name: String size: Int dataCenterId: String }}
type LowestPrice {{ minimumBidPrice: Float uninterruptablePrice: Float stockStatus: String
  availableGpuCounts: [Int] }}
type GpuType {{ id: String! displayName: String memoryInGb: Int manufacturer: String maxGpuCount: Int
  cudaCores: Int secureCloud: Boolean communityCloud: Boolean securePrice: Float communityPrice: Float
  oneMonthPrice: Float threeMonthPrice: Float oneWeekPrice: Float communitySpotPrice: Float
  secureSpotPrice: Float lowestPrice(input: GpuLowestPriceInput): LowestPrice }}
type User {{ id: String! email: String pubKey: String clientBalance: Float currentSpendPerHr: Float
  spendLimit: Float notifyPodsStale: Boolean notifyPodsGeneral: Boolean notifyLowBalance: Boolean
  networkVolumes: [NetworkVolume] pods: [Pod] }}
type Query {{ myself: User pod(input: PodFilter!): Pod gpuTypes(input: GpuTypeFilter): [GpuType] }}
type Mutation {{
  podFindAndDeployOnDemand(input: PodFindAndDeployOnDemandInput!): Pod
  podRentInterruptable(input: PodRentInterruptableInput!): Pod
  deployCpuPod(input: DeployCpuPodInput!): Pod
  podStop(input: PodStopInput!): Pod
  podResume(input: PodResumeInput!): Pod
  podBidResume(input: PodBidResumeInput!): Pod
  podTerminate(input: PodTerminateInput!): Boolean
  updateUserSettings(input: UpdateUserSettingsInput!): User
}}
"""
