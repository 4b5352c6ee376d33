import PubSub from './plugin.cjs'

export default PubSub

export import settings = PubSub.settings
export import setup = PubSub.setup
export import install = PubSub.install
export import init = PubSub.init
export import on = PubSub.on
export import off = PubSub.off
export import close = PubSub.close
export import PubSubError = PubSub.PubSubError

export import Settings = PubSub.Settings
export import Transport = PubSub.Transport
export import Signal = PubSub.Signal
export import ConnectionOptions = PubSub.ConnectionOptions
export import SubscribeOptions = PubSub.SubscribeOptions
export import CallbackOptions = PubSub.CallbackOptions
export import MessagesOptions = PubSub.MessagesOptions
export import PropertyValue = PubSub.PropertyValue
export import PropertyUpdate = PubSub.PropertyUpdate
export import MessageInfo = PubSub.MessageInfo
export import Subscription = PubSub.Subscription
export import Messages = PubSub.Messages
export import Watchable = PubSub.Watchable
export import Publishable = PubSub.Publishable
export import Resource = PubSub.Resource
export import ErrorCode = PubSub.ErrorCode
export import ConnectionEvent = PubSub.ConnectionEvent
export import Events = PubSub.Events
export import ModuleSource = PubSub.ModuleSource
