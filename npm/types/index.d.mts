import PubSub from './index.cjs'

export default PubSub

export declare const settings: typeof PubSub.settings
export declare const setup: typeof PubSub.setup
export declare const install: typeof PubSub.install
export declare const on: typeof PubSub.on
export declare const off: typeof PubSub.off
export declare const close: typeof PubSub.close
export declare const PubSubError: typeof PubSub.PubSubError

export type PubSubError = PubSub.PubSubError
export type Settings = PubSub.Settings
export type ConnectionOptions = PubSub.ConnectionOptions
export type SubscribeOptions = PubSub.SubscribeOptions
export type PropertyUpdate<Value = unknown> = PubSub.PropertyUpdate<Value>
export type Resource<Message = PropertyUpdate[]> = PubSub.Resource<Message>
export type ErrorCode = PubSub.ErrorCode
export type ConnectionEvent = PubSub.ConnectionEvent
export type Events = PubSub.Events
